"""What has to go on by itself: what keeps strangers out, what is renewed, and whether there is room."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from appliance.errors import OperatorError
from appliance.health.finding import Finding, critical, warning
from appliance.media.encode.ladder import load_ladder
from appliance.ops.doctor.capacity import judge_capacity, stream_bytes

if TYPE_CHECKING:
    from appliance.ops.preflight.planned import Planned

_ROTATIONS: Final = (
    (
        "control_rotate_content_keys",
        "content keys do not change at fixed times",
        "a key that was passed on opens its stream until that changes it by itself (rotation_seconds)",
    ),
    (
        "control_rotate_master_key",
        "the master key never changes",
        "whoever once had it decrypts everything to come",
    ),
    (
        "control_rotate_view_token_keys",
        "the keys of view tokens never change",
        "whoever once had one makes view tokens for ever",
    ),
    (
        "control_rotate_internal_secrets",
        "the host's own secrets never change",
        "whoever once had them keeps what they open",
    ),
)
"""Variables with a timer's times, and what it means when there is none."""

_SCALES: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def firewall_on(planned: Planned) -> list[Finding]:
    """The firewall is on."""
    if planned.on("firewall_enabled"):
        return []
    why = "every port of the host is open to everybody"
    return [critical("the firewall is off", "firewall_enabled is false", why, "firewall_enabled: true")]


def upgrades(planned: Planned) -> list[Finding]:
    """Security updates come by themselves."""
    if planned.on("base_security_upgrades"):
        return []
    why = "known holes stay open until somebody thinks of them"
    seen = "base_security_upgrades is false"
    return [warning("security updates are off", seen, why, "base_security_upgrades: true")]


def rotation(planned: Planned) -> list[Finding]:
    """Keys and secrets are replaced by timers."""
    findings = []
    for name, what, why in _ROTATIONS:
        if planned.is_origin and name in planned.values and not planned.text(name):
            mend = f"{name}: monthly, or another time of systemd.time(7)"
            findings.append(warning(what, f"{name} is empty", why, mend))
    return findings


def file_limits(planned: Planned) -> list[Finding]:
    """The bound of open files holds the connections that are allowed."""
    files = planned.number("tuning_open_files_soft")
    wanted = max(planned.number("delivery_worker_connections"), planned.number("ingest_worker_connections"))
    if not planned.is_origin or not files or files >= wanted:
        return []
    return [
        warning(
            "open files end before connections do",
            f"tuning_open_files_soft is {files:.0f}, a worker is to have {wanted:.0f} connections",
            "beyond the bound no viewer and no publisher gets a connection",
            "raise tuning_open_files_soft to twice the connections, or lower delivery_worker_connections",
        )
    ]


def kernel(planned: Planned) -> list[Finding]:
    """No kernel setting that the host was built for is taken out."""
    changes = planned.values.get("tuning_sysctl_changes")
    gone = sorted(name for name, change in changes.items() if not change) if isinstance(changes, dict) else []
    if not gone or not planned.is_origin:
        return []
    why = "connections are dropped earlier, or run slower, than the host was built for"
    mend = "take them out of tuning_sysctl_changes, or give value and reason"
    return [warning("kernel settings are left out", ", ".join(map(str, gone)), why, mend)]


def media_size(planned: Planned) -> list[Finding]:
    """The media's memory holds the window of every stream; a share of the memory only the host knows."""
    size = re.fullmatch(r"(\d+)([kmg]?)", planned.text("origin_media_size").lower())
    name = f"{planned.settings.ladder}.yml"
    file = next((path for path in planned.items("origin_ladders") if Path(path).name == name), None)
    if size is None or file is None or not planned.is_origin:
        return []
    try:
        ladder = load_ladder(Path(file))
    except OperatorError:
        return []  # the role origin refuses it, and says why
    streams = max(1, len(planned.items("control_allowed_stream_keys")))
    return judge_capacity(int(size[1]) * _SCALES[size[2]], stream_bytes(planned.settings, ladder), streams)
