"""All checks, in the order of a stream's way up from the machine, and what may be whose cause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from appliance.ops.doctor import (
    backend,
    capacity,
    configuration,
    encoders,
    encoding,
    firewall,
    gpu,
    identity,
    kernel,
    load,
    login,
    memory,
    network,
    rotations,
    services,
    space,
    streams,
    units,
    updates,
    valkey,
    valkey_log,
    versions,
    watching,
)
from appliance.ops.doctor.check import Check

if TYPE_CHECKING:
    from collections.abc import Sequence

CHECKS: Final[Sequence[Check]] = (
    # the machine
    Check("space", space.space),
    Check("memory", memory.memory),
    Check("clock", kernel.clock),
    Check("kernel-settings", kernel.sysctls),
    Check("gpu", gpu.gpu),
    # what it was told
    Check("settings", configuration.settings),
    Check("credentials", configuration.credentials),
    Check("encoders", encoders.encoders),
    Check("certificate", configuration.certificate, after=("clock",)),
    Check("nginx-configuration", configuration.nginx_syntax, after=("certificate", "space")),
    Check("taken-ports", network.taken_ports),
    Check("firewall", firewall.firewall),
    Check("valkey-log", valkey_log.valkey_log, after=("space",)),
    # its services
    Check(
        "units",
        units.units,
        after=(
            *("space", "memory", "settings", "credentials", "nginx-configuration", "taken-ports"),
            *("valkey-log", "encoders"),
        ),
    ),
    Check("open-files", kernel.open_files),
    Check("ports", network.ports, after=("units",)),
    Check("valkey", valkey.valkey, after=("units", "space", "credentials", "valkey-log")),
    Check("backend", backend.backend, after=("clock",)),
    Check("control", services.control, after=("units", "ports")),
    Check("ingest", services.ingest, after=("units", "ports", "control")),
    Check("parts", services.parts, after=("control", "ingest", "valkey", "backend")),
    Check("events", backend.events, after=("backend", "control")),
    Check("timers", rotations.stopped_timers),
    Check("rotations", rotations.overdue, after=("timers", "units", "valkey", "credentials", "clock")),
    Check("replaced", versions.replaced, after=("settings", "nginx-configuration")),
    # its streams
    Check("streams", streams.streams, after=("gpu", "memory", "space", "encoders", "ingest", "open-files")),
    Check(
        "watching",
        watching.watching,
        after=("streams", "control", "ports", "certificate", "nginx-configuration", "clock"),
        seconds=4.5,
    ),
)

CHECKLIST: Final[Sequence[Check]] = (
    Check("names", identity.names),
    Check("tls", identity.tls, after=("names",)),
    Check("login", login.login),
    Check("updates", updates.updates),
    Check("capacity", capacity.capacity),
    Check("load", load.load),
    Check("encoding", encoding.encoding, seconds=8.0),
)
"""What a host is looked at for before it is opened to the public (`appliance preflight`): a host may be well
without it, so the doctor does not ask by itself."""

ALL: Final[Sequence[Check]] = (*CHECKS, *CHECKLIST)

NAMES: Final = tuple(check.name for check in ALL)
