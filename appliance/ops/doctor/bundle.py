"""The support archive: what somebody elsewhere needs to see of this host, without its secrets."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx

from appliance.errors import EX_NOPERM, OperatorError
from appliance.ops.doctor.archive import refuse_taken, write_archive
from appliance.ops.doctor.scrub import Scrubber, secrets_below, secrets_in_url, without_paths

if TYPE_CHECKING:
    from appliance.ops.doctor.host import Host
    from appliance.ops.doctor.report import Report

_COMMAND_SECONDS: Final = 15.0
_LINES: Final = "5000"

_COMMANDS: Final = {
    "units": ("systemctl", "status", "--no-pager", "--lines=0", "appliance-*", "stream@*", "valkey-server*"),
    "timers": ("systemctl", "list-timers", "--all", "--no-pager"),
    "journal-services": (
        *("journalctl", "--no-pager", "-n", _LINES, "-o", "short-iso"),
        *("-u", "appliance-*", "-u", "stream@*", "-u", "valkey-server"),
    ),
    "journal-errors": (
        "journalctl",
        "--no-pager",
        "-p",
        "warning",
        "-n",
        "1000",
        "-o",
        "short-iso",
        "--since",
        "-1d",
    ),
    "kernel": ("journalctl", "--no-pager", "-k", "-n", "1000", "-o", "short-iso"),
    "disks": ("df", "-h"),
    "inodes": ("df", "-i"),
    "mounts": ("findmnt", "--noheadings", "--raw"),
    "processes": ("ps", "-eo", "pid,ppid,user,pcpu,pmem,rss,nlwp,etimes,comm"),
    "memory": ("cat", "/proc/meminfo", "/proc/pressure/cpu", "/proc/pressure/memory", "/proc/pressure/io"),
    "addresses": ("ip", "-brief", "address"),
    "sockets": ("ss", "-tlnp"),
    "socket-counts": ("ss", "-s"),
    "firewall": ("nft", "list", "ruleset"),
    "packages": ("dpkg-query", "-W"),
    "nginx": ("/usr/sbin/nginx", "-V"),
    "time": ("timedatectl", "show"),
    "gpu": ("nvidia-smi", "-q"),
    "sysctl": ("sysctl", "-a"),
}
# No command line in `processes`: that of another program may carry what nobody meant to show.

_FILES: Final = (
    "/etc/nginx/ingest.conf",
    "/etc/nginx/delivery.conf",
    "/etc/valkey/appliance.conf",
    "/etc/appliance/firewall.nft",
    "/etc/sysctl.d/60-appliance.conf",
    "/etc/os-release",
    "/proc/loadavg",
    "/proc/uptime",
)
_PAGES: Final = ("/health", "/ready", "/streams/active", "/streams/stats", "/stat", "/metrics")


async def write_bundle(host: Host, report: Report, file: Path) -> int:
    """Writes the archive (tar.gz, mode 0600) to `file`; returns its size in bytes.

    Raises OperatorError when the file is there already or cannot be written, or when this user cannot know
    the secrets that are to be removed; then there is no archive, and no part of one.
    """
    refuse_taken(file)  # before everything is asked
    try:
        known = await asyncio.to_thread(secrets_below, host.credentials)
    except OSError as error:
        raise OperatorError(
            f"the secrets in {host.credentials} cannot be read ({error.strerror}), so they cannot be removed",
            exit_code=EX_NOPERM,
            hint="run it as root",
        ) from None
    scrub = Scrubber(known | secrets_in_url(host.settings.http_callback_url))
    texts = {"doctor.json": json.dumps(report.described(), indent=2)}
    answers = await asyncio.gather(
        *(host.run(*command, seconds=_COMMAND_SECONDS) for command in _COMMANDS.values())
    )
    for name, answer in zip(_COMMANDS, answers, strict=True):
        texts[f"commands/{name}.txt"] = answer.text + answer.errors
    for path in map(Path, _FILES):
        texts[f"files/{path}"] = _read(path)
    # By its shape too: settings that are refused tell no address.
    texts[f"files/{host.settings_file}"] = without_paths(_read(host.settings_file))
    texts |= await _pages(host)
    for stream, status in (await host.statuses()).items():
        texts[f"streams/{stream}/status.json"] = json.dumps(status.content, indent=2)
    return await asyncio.to_thread(
        write_archive, file, {name: scrub(text) for name, text in texts.items()}, report.began
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return f"cannot be read: {error.strerror}\n"


async def _pages(host: Host) -> dict[str, str]:
    found = {}
    async with httpx.AsyncClient(base_url=host.settings.control_url, timeout=5, trust_env=False) as http:
        for path in _PAGES:
            try:
                found[f"control{path}.txt"] = (await http.get(path)).text
            except httpx.HTTPError as error:
                found[f"control{path}.txt"] = f"no answer: {str(error) or type(error).__name__}\n"
    return found
