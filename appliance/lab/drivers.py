"""What a driver is, and the drivers there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from appliance.errors import EX_USAGE, OperatorError
from appliance.lab import nspawn, vm

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from appliance.lab.checkout import LabPaths
    from appliance.lab.processes import Process
    from appliance.lab.state import HostState

DEFAULT_DRIVER = "nspawn"


class Driver(Protocol):
    """The functions a driver's module has."""

    def check(self) -> None:
        """Raise OperatorError, naming what is missing, when the driver cannot work on this machine."""

    def bridged(self) -> bool:
        """Whether the hosts sit on the lab's bridge (else each is behind user networking)."""

    def answer_seconds(self) -> float:
        """How long a starting host may take to answer on SSH."""

    def prepare(self, paths: LabPaths, say: Callable[[str], None]) -> Path:
        """Return the base image in the form that `start` needs, building it first when it is missing."""

    def address(self, index: int, subnet: str) -> tuple[str, int]:
        """Return address and SSH port of host number `index`."""

    def start(
        self, paths: LabPaths, host: HostState, hosts: Mapping[str, HostState], subnet: str, base: Path
    ) -> Process:
        """Start a host and return the process that stands for it."""

    def stop(self, paths: LabPaths, host: HostState) -> None:
        """Stop a host and remove its files, whatever part of it exists."""

    def clear(self, paths: LabPaths) -> None:
        """Remove what the hosts had in common, once all are stopped."""


DRIVERS: dict[str, Driver] = {"nspawn": nspawn, "vm": vm}


def driver_named(name: str) -> Driver:
    """Return a driver by its name.

    Raises:
        OperatorError: there is none of that name.
    """
    try:
        return DRIVERS[name]
    except KeyError:
        raise OperatorError(
            f"driver {name!r} is unknown; there are: {', '.join(DRIVERS)}", exit_code=EX_USAGE
        ) from None
