"""What the inventory keeps: secrets that stand there for everybody to read, and such that are none."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from appliance.health.finding import Finding, critical, warning

if TYPE_CHECKING:
    from appliance.ops.preflight.planned import InventoryFile, Planned

LOGINS: Final = (
    "ansible_become_pass",
    "ansible_become_password",
    "ansible_pass",
    "ansible_password",
    "ansible_ssh_pass",
    "ansible_ssh_password",
    "ansible_ssh_private_key_passphrase",
    "ansible_sudo_pass",
)
"""Variables of Ansible's own that hold a password."""

_SHORTEST: Final = 4
"""Characters: what is shorter stands by chance somewhere in a file."""

_DISTINCT: Final = 8
"""Different characters of a key or secret: 32 random hex digits have fewer once in 26 million."""

_GUESSED: Final = re.compile(
    r"change.?me|password|passw0rd|secret|example|default|admin|letmein|qwerty|webhook|test|demo|0123456789|"
    r"123456|abcdef|deadbeef",
    re.IGNORECASE,
)


_OPENS: Final = {
    "control_hls_encryption_key": "who guesses it decrypts the streams",
    "control_webhook_secret": "who guesses it speaks to the backend in the host's name",
}
"""Secrets that an operator may choose, and what they open."""


def weak_secrets(planned: Planned) -> list[Finding]:
    """No secret of the inventory can be guessed."""
    findings = []
    for name in _OPENS:
        value = planned.text(name)
        reason = _weakness(value.removeprefix("whsec_")) if planned.is_origin else ""
        if value and reason:
            why = _OPENS[name]
            mend = f"leave {name} empty, and the host draws one; or: openssl rand -hex 32"
            findings.append(critical(f"{name} can be guessed", reason, why, mend))
    return findings


def _weakness(value: str) -> str:
    """What is weak about a secret, without a part of it; empty when nothing is."""
    distinct = len(set(value))
    if distinct < _DISTINCT:
        return f"{distinct} different characters; {_DISTINCT} or more are wanted"
    if _GUESSED.search(value):
        return "it holds a word or a row that everybody tries; wanted is a random one"
    return ""


def plain_secrets(planned: Planned) -> list[Finding]:
    """No secret stands in plain in the inventory; one from a vault or the environment does not."""
    findings = []
    for name in sorted(planned.secrets | set(LOGINS)):
        value = planned.text(name)
        if len(value) >= _SHORTEST:
            holds = [file for file in planned.files if value in file.text]
            worst = sorted(holds, key=lambda file: not file.everybody_reads)[:1]
            findings += [_plain(name, file) for file in worst]
    return findings


def _plain(name: str, file: InventoryFile) -> Finding:
    make = critical if file.everybody_reads else warning
    return make(
        f"{name} stands in plain in the inventory",
        f"{file.path}, mode {file.mode:04o}; the value is not shown",
        "who reads the file, a copy or the repository it is in has the secret"
        if not file.everybody_reads
        else "every user of this machine reads it, and whoever gets a copy or the repository it is in",
        f"ansible-vault encrypt_string --name {name}; chmod o= {file.path}; then draw another one",
    )
