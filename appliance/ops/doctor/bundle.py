"""The support archive: what somebody elsewhere needs to see of this host, without its secrets."""

from __future__ import annotations

import asyncio
import io
import json
import os
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx

from appliance.errors import EX_NOPERM, EX_OSERR, OperatorError
from appliance.ops.doctor.scrub import Scrubber, secrets_below, secrets_in_url, without_paths

if TYPE_CHECKING:
    from appliance.ops.doctor.host import Host
    from appliance.ops.doctor.report import Report

_LARGEST: Final = 4 << 20
"""Bytes of one file in the archive: its end counts, the newest."""

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
    the secrets that are to be removed.
    """
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
        texts[f"files{path}"] = _read(path)
    # By its shape too: settings that are refused tell no address.
    texts[f"files{host.settings_file}"] = without_paths(_read(host.settings_file))
    texts |= await _pages(host)
    for stream, status in (await host.statuses()).items():
        texts[f"streams/{stream}/status.json"] = json.dumps(status.content, indent=2)
    return await asyncio.to_thread(_write, file, {name: scrub(text) for name, text in texts.items()})


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


def _write(file: Path, texts: dict[str, str]) -> int:
    try:
        # Nobody's link and nobody's file is written over, and nobody else reads along.
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out, tarfile.open(fileobj=out, mode="w:gz") as archive:
            for name, text in texts.items():
                data = text.encode()[-_LARGEST:]
                entry = tarfile.TarInfo(f"{file.name.partition('.')[0]}/{name}")
                entry.size, entry.mtime, entry.mode = len(data), int(time.time()), 0o600
                archive.addfile(entry, io.BytesIO(data))
        return file.stat().st_size
    except OSError as error:
        raise OperatorError(
            f"{file}: {error.strerror}",
            exit_code=EX_OSERR,
            hint="give the name of a file that is not there yet",
        ) from None
