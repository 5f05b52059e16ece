"""What the host was told: settings, secrets, nginx's configurations, its certificate."""

from __future__ import annotations

import asyncio
import pwd
import re
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from appliance.errors import OperatorError
from appliance.health.finding import Finding, critical, warning
from appliance.health.shown_certificate import ask_certificate
from appliance.ops.doctor.host import NGINX_UNITS
from appliance.secrets.credentials import CONTENT_KEYRING, STREAM_KEY_PEPPER, read_credential
from appliance.secrets.keyring import Keyring
from appliance.secrets.rotating import ROTATING, read_rotating

if TYPE_CHECKING:
    from appliance.ops.doctor.host import Host

RENEW_DAYS: Final = 21
"""Days before its end at which a certificate should have been renewed: usual authorities begin at 30."""

_NGINX_PREFIX: Final = "/var/lib/appliance-nginx/check"
"""Where the roles have a configuration checked too: nothing of the running nginx is touched."""


_REPLACED_BY: Final = {
    **{name: f"appliance secrets rotate {name}" for name in ROTATING},
    CONTENT_KEYRING: "appliance keys rotate --master",
    STREAM_KEY_PEPPER: "nothing else, it says nothing without Valkey's data (all stream keys hang on it)",
}
"""What replaces the secret in a file that somebody may have read."""
_ALL: Final = "replace what stands in it (appliance secrets status, appliance keys rotate --master)"

_READERS: Final = ("appliance-control", "appliance-stream")
"""The users of the units that read the settings: a root that reads everything says nothing of them."""


async def settings(host: Host) -> list[Finding]:
    """The settings file can be read by those who run with it, and holds what is allowed."""
    findings = []
    if host.settings_error is not None:
        findings.append(
            critical(
                f"the settings {host.settings_file} are refused",
                host.settings_error,
                "the control service and the streams do not start with them; the checks below took the "
                "defaults",
                f"mend it and look: appliance control check-config {host.settings_file}; "
                "or run playbooks/site.yml again",
            )
        )
    kept_out = [user for user in _READERS if not await _may_read(host, user)]
    if kept_out:
        file = host.settings_file
        mode, above = (stat.S_IMODE(path.stat().st_mode) for path in (file, file.parent))
        findings.append(
            critical(
                f"the settings {file} are closed to the services",
                f"{', '.join(kept_out)} may not read it: mode {mode:04o} in a folder of {above:04o}; "
                "allowed: 0644 in 0755",
                "what runs goes on; after its next start no publisher is let in, and no new stream begins",
                f"chmod 0755 {file.parent}; chmod 0644 {file}",
            )
        )
    return findings


async def _may_read(host: Host, user: str) -> bool:
    """Whether `user` can read the settings; yes where there is no such user, or no such file."""
    try:
        known = pwd.getpwnam(user)
    except KeyError:
        return True
    if not host.settings_file.exists():
        return True
    become = ("setpriv", f"--reuid={known.pw_uid}", f"--regid={known.pw_gid}", "--init-groups")
    return (await host.run(*become, "test", "-r", str(host.settings_file))).status != 1


async def credentials(host: Host) -> list[Finding]:
    """Every secret is there, readable as what it is, and open to nobody but root."""
    return await asyncio.to_thread(look_at_credentials, host.credentials)


def look_at_credentials(directory: Path) -> list[Finding]:
    """What is wrong with the secrets in `directory`."""
    again = "run playbooks/site.yml again: it makes what is missing, and keeps what is there"
    findings = []
    for name in (CONTENT_KEYRING, STREAM_KEY_PEPPER, *ROTATING):
        try:
            if name == CONTENT_KEYRING:
                Keyring.load(directory / name)
            elif name == STREAM_KEY_PEPPER:
                read_credential(directory / name)
            else:
                read_rotating(directory, name)
        except OperatorError as error:
            why = "the units that are given it (LoadCredential=) do not start, or refuse everybody"
            findings.append(critical(f"the secret {name} cannot be used", error.message, why, again))
    for path in (directory, *sorted(directory.glob("*"))):
        found = path.stat()
        if found.st_mode & 0o077 or found.st_uid != 0:
            findings.append(
                warning(
                    f"{path} is open to others than root",
                    f"mode {stat.S_IMODE(found.st_mode):04o}, owner {found.st_uid}; allowed: root alone",
                    "somebody else on the host may have read what lets publish, watch or decrypt",
                    f"chmod go= {path}; chown root:root {path}; then: {_REPLACED_BY.get(path.name, _ALL)}",
                )
            )
    return findings


async def nginx_syntax(host: Host) -> list[Finding]:
    """nginx takes both configurations (`nginx -t`)."""
    answers = await asyncio.gather(
        *(
            host.run("/usr/sbin/nginx", "-t", "-q", "-p", _NGINX_PREFIX, "-c", str(_conf(host, name)))
            for name in NGINX_UNITS
        )
    )
    findings = []
    for (name, unit), answer in zip(NGINX_UNITS.items(), answers, strict=True):
        if answer.status:
            findings.append(
                critical(
                    f"nginx refuses {_conf(host, name)}",
                    _first_fault(answer.errors) or answer.said,
                    f"{unit} goes on with what it has loaded, and does not start again",
                    f"run playbooks/site.yml again; then: systemctl restart {unit}",
                )
            )
    return findings


def _conf(host: Host, name: str) -> Path:
    return host.nginx_directory / f"{name}.conf"


def _first_fault(errors: str) -> str:
    """The first line that is worse than a warning (nginx: `[emerg] …`)."""
    found = re.search(r"\[(?:emerg|alert|crit|error)\] (.*)", errors)
    return found[1] if found else ""


def certificate_file(host: Host) -> Path | None:
    """The certificate that delivery is configured with; None without TLS."""
    named = re.search(r"^\s*ssl_certificate\s+([^;]+);", host.nginx_text("delivery"), re.MULTILINE)
    return None if named is None else Path(named[1].strip())


async def certificate(host: Host) -> list[Finding]:
    """The certificate is good for weeks, and is the one that delivery shows."""
    path, now = certificate_file(host), datetime.now(UTC)
    if path is None:
        return []
    try:
        pem = await asyncio.to_thread(path.read_bytes)
        loaded = x509.load_pem_x509_certificate(pem)
    except (OSError, ValueError) as error:
        return [
            critical(
                f"the certificate {path} cannot be read",
                str(error),
                "delivery cannot be started again, and over HTTPS nobody watches then",
                "run playbooks/site.yml again (delivery_tls_certificate names the files)",
            )
        ]
    findings = judge_certificate(path, loaded, now)
    port = next((listen.port for listen in host.listens("delivery") if listen.tls), 0)
    shown = await ask_certificate(port, proxied=host.settings.delivery_proxy_protocol)
    if shown is not None and shown.fingerprint(SHA256()) != loaded.fingerprint(SHA256()):
        findings.append(
            warning(
                f"port {port} shows another certificate than {path}",
                f"it shows one that is good until {shown.not_valid_after_utc:%Y-%m-%d}, "
                f"the file is good until {loaded.not_valid_after_utc:%Y-%m-%d}",
                "viewers are shown the old one until it ends",
                "systemctl reload appliance-delivery",
            )
        )
    return findings


def judge_certificate(path: Path, found: x509.Certificate, now: datetime) -> list[Finding]:
    """What is wrong with the times of a certificate."""
    days = (found.not_valid_after_utc - now).total_seconds() / 86_400
    own = found.issuer == found.subject
    mend = (
        f"rm {path} and run playbooks/site.yml again: it makes another"
        if own
        else "renew it where it comes from, and run playbooks/site.yml again (delivery_tls_certificate)"
    )
    if found.not_valid_before_utc > now:
        when = f"good from {found.not_valid_before_utc:%Y-%m-%d %H:%MZ} on, now is {now:%Y-%m-%d %H:%MZ}"
        return [
            critical(f"the certificate {path} is not good yet", when, "players refuse HTTPS", "see the clock")
        ]
    if days < 0:
        seen = f"it ended {-days:.1f} days ago ({found.not_valid_after_utc:%Y-%m-%d %H:%MZ})"
        return [critical(f"the certificate {path} is over", seen, "players refuse HTTPS", mend)]
    if days < RENEW_DAYS:
        seen = f"{days:.1f} days are left; {RENEW_DAYS} or more are wanted"
        why = "players refuse HTTPS from then on"
        return [warning(f"the certificate {path} ends soon", seen, why, mend)]
    return []
