"""What runs here, in which version: for the comparison of hosts, and what runs though it was replaced."""

from __future__ import annotations

import asyncio
import platform
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from appliance import __version__
from appliance.health.finding import Finding, warning
from appliance.ops.doctor.units import ask_units

if TYPE_CHECKING:
    from appliance.ops.doctor.host import Host
    from appliance.ops.doctor.units import Unit

_PACKAGES: Final = ("appliance-nginx", "ffmpeg", "appliance-ffmpeg", "valkey-server", "systemd", "openssl")

_BUILT: Final = {"appliance-nginx": ("nginx", r"\+rtmp[0-9.]+-[0-9]+"), "appliance-ffmpeg": ("ffmpeg", "")}
"""Package of ours → Debian's package of the same, and what else the version of ours names."""

_RESTARTED_FOR: Final = {
    "appliance-ingest.service": "ingest.conf",
    "valkey-server.service": "/etc/valkey/appliance.conf",
    "appliance-control.service": "/etc/appliance/appliance.yml",
}
"""Units that read their configuration when they start, and not again."""

_GOOD: Final = {
    "appliance-ingest.service": "appliance doctor --only nginx-configuration && ",
    "appliance-control.service": "appliance doctor --only settings && ",
}
"""What has to find nothing before such a unit is restarted: with a broken configuration it stays down."""


async def _installed(host: Host) -> dict[str, str]:
    """Those of `_PACKAGES` that are there, and their versions."""
    packages = await host.run("dpkg-query", "-W", "-f", "${Package} ${Version}\n", *_PACKAGES)
    return dict(line.split(" ", 1) for line in packages.text.splitlines() if " " in line)


async def versions(host: Host) -> dict[str, str]:
    """Name → version of what makes a difference between hosts."""
    found = await _installed(host)
    our, system = await asyncio.to_thread(lambda: (release(), _system()))
    return {
        "appliance": our,
        "system": system,
        "kernel": platform.release(),
        **{name: found.get(name, "absent").strip() or "absent" for name in _PACKAGES},
    }


def _system() -> str:
    """What os-release(5) calls the system."""
    try:
        found = re.search(r'^PRETTY_NAME="?([^"\n]*)', Path("/etc/os-release").read_text(), re.MULTILINE)
    except OSError:
        return "?"
    return found[1] if found else "?"


def release() -> str:
    """The version, and the release that /opt/appliance/venv points to, named by what it is made of."""
    venv = Path("/opt/appliance/venv")
    return f"{__version__} {venv.resolve().name}" if venv.is_symlink() else __version__


async def replaced(host: Host) -> list[Finding]:
    """Nothing runs by an old program or configuration, and no package of ours is older than Debian's."""
    units, older = await asyncio.gather(ask_units(host), outdated(host))
    return [*await asyncio.to_thread(_look_at_processes, units, host.nginx_directory), *older]


async def outdated(host: Host) -> list[Finding]:
    """What was built of something that Debian has mended since."""
    installed = await _installed(host)
    ours = {package: installed[package].strip() for package in _BUILT if installed.get(package, "").strip()}
    if not ours:
        return []
    names = [_BUILT[package][0] for package in ours]
    policy = await host.run("env", "LC_ALL=C", "apt-cache", "policy", *names)
    findings = []
    for package, version in ours.items():
        built, debians = comparable(package, version, policy.text)
        if not debians:
            continue
        if (await host.run("dpkg", "--compare-versions", built, "lt", debians)).status == 0:
            findings.append(_older(_BUILT[package][0], f"{package} {version}", debians))
    return findings


def comparable(package: str, version: str, policy: str) -> tuple[str, str]:
    """What the package is made of, and what Debian has, as `apt-cache policy` tells: empty when nothing.

    Without the epoch, which our packages have not; what was made of upstream's tarball has no revision of
    Debian's either, and is compared by upstream's version.
    """
    software, parts = _BUILT[package]
    built = re.sub(rf"({parts})?\+r[0-9a-f]{{8}}$", "", version)
    found = re.search(rf"^{software}:\n(?: .*\n)*?  Candidate: (?:\d+:)?(\d\S*)$", policy, re.MULTILINE)
    debians = found[1] if found else ""
    return built, debians if "-" in built else debians.rpartition("-")[0]


def _older(software: str, seen: str, debians: str) -> Finding:
    why = "what Debian has mended since, holes among it, is open here: no update builds it anew by itself"
    seen += f", Debian has {debians}"
    command = f"ansible-playbook playbooks/site.yml --tags={software} -e {software}_version={debians}"
    return warning(f"{software} is older than Debian's", seen, why, f"on the controller: {command}")


def _look_at_processes(units: dict[str, Unit], nginx_directory: Path) -> list[Finding]:
    findings = []
    for name, unit in units.items():
        pid = unit.number("MainPID")
        if not pid or not unit.runs:
            continue
        try:
            program = Path(f"/proc/{pid}/exe").readlink()
            began = psutil.Process(pid).create_time()
        except (OSError, psutil.Error):
            continue
        findings += judge_program(name, str(program))
        if name in _RESTARTED_FOR:
            file = nginx_directory / _RESTARTED_FOR[name]
            findings += judge_configuration(name, file, _changed(file), began, time.time())
    return findings


def _changed(file: Path) -> float:
    """Unix time of the last change; 0 where there is no such file."""
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def judge_program(unit: str, program: str) -> list[Finding]:
    """`program` as /proc/PID/exe points to it (proc(5)): `… (deleted)` when the file was replaced."""
    if not program.endswith(" (deleted)"):
        return []
    seen = f"{program.removesuffix(' (deleted)')} was replaced since it started"
    why = "mended faults of the program are not mended here"
    return [warning(f"{unit} runs an old program", seen, why, f"systemctl restart {unit}")]


def judge_configuration(unit: str, file: Path, changed: float, began: float, now: float) -> list[Finding]:
    """`changed` and `began` are unix times of the file and of the process."""
    # The process's start is known to a hundredth of a second, the host's boot to a second.
    if not began + 2 < changed <= now + 2:
        return []
    when = datetime.fromtimestamp(changed, UTC)
    seen = f"{file} was changed at {when:%Y-%m-%d %H:%M:%SZ}, {changed - began:.0f} s after the unit started"
    why = "the change is not in force, and may keep the unit from starting again"
    restart = f"{_GOOD.get(unit, '')}systemctl restart {unit}"
    mend = f"run playbooks/site.yml again, or: {restart} (ingest: publishers are cut off)"
    return [warning(f"{unit} has not read its configuration", seen, why, mend)]
