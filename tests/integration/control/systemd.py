"""A stand-in for systemd on a private bus: tests run where no systemd is process 1.

It answers the two calls that the control service makes. A "unit" that is started is a real reader: our RTMP
player, which plays the stream from the real nginx with the real secret. What only the real systemd can show
(polkit, the unit itself) is tested on lab hosts.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Annotated

from dbus_fast.aio import MessageBus
from dbus_fast.annotations import DBusSignature, DBusStr
from dbus_fast.service import ServiceInterface, dbus_method

from appliance.media.rtmp.client import RtmpError, RtmpPlayer, RtmpUrl

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_UNITS = Annotated[
    list[tuple[str, str, str, str, str, str, str, int, str, str]], DBusSignature("a(ssssssouso)")
]
_STRINGS = Annotated[list[str], DBusSignature("as")]
_PATH = Annotated[str, DBusSignature("o")]


class Systemd(ServiceInterface):
    """org.freedesktop.systemd1.Manager, as far as it is asked."""

    def __init__(self, run: Callable[[str], Awaitable[None]]) -> None:
        super().__init__("org.freedesktop.systemd1.Manager")
        self._run = run
        self._bus: MessageBus | None = None
        self.units: dict[str, asyncio.Task[None]] = {}
        self.started: list[str] = []
        self.busy: dict[str, asyncio.Event] = {}
        """What holds up the answer to a start, by unit."""

    @dbus_method(name="StartUnit")
    async def start_unit(self, name: DBusStr, mode: DBusStr) -> _PATH:
        assert mode == "replace"
        if (busy := self.busy.get(name)) is not None:
            await busy.wait()
        self.started.append(name)
        if not name.startswith("stream@"):
            return "/job/1"  # a command for a moment, which is recorded and not run
        if name not in self.units or self.units[name].done():
            stream = name.removeprefix("stream@").removesuffix(".service")
            self.units[name] = asyncio.create_task(self._guarded(stream))
        return "/job/1"

    @dbus_method(name="ListUnitsByPatterns")
    def list_units(self, states: _STRINGS, patterns: _STRINGS) -> _UNITS:
        assert (states, patterns) == ([], ["stream@*.service"])
        return [
            [name, "", "loaded", "inactive" if task.done() else "active", "", "", "/", 0, "", "/"]  # type: ignore[misc]  # dbus-fast sends lists as structs
            for name, task in self.units.items()
        ]

    async def connect(self, address: str) -> None:
        """Takes systemd's place on the bus at `address`."""
        async with asyncio.timeout(10):
            self._bus = await MessageBus(bus_address=address).connect()
        self._bus.export("/org/freedesktop/systemd1", self)
        await self._bus.request_name("org.freedesktop.systemd1")

    async def stop(self, name: str) -> None:
        """Ends a unit."""
        if (task := self.units.pop(name, None)) is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def close(self) -> None:
        """Ends every unit and leaves the bus."""
        for name in list(self.units):
            await self.stop(name)
        if self._bus is not None:
            self._bus.disconnect()

    async def _guarded(self, stream: str) -> None:
        with contextlib.suppress(RtmpError):
            await self._run(stream)


async def read_stream(url: str, stream: str, secret: str) -> None:
    """What a stream's unit does with nginx: plays the stream with the secret, until the connection ends."""
    player = await RtmpPlayer.play(RtmpUrl.parse(url), f"{stream}?reader={secret}")
    try:
        async for _ in player.messages():
            pass
    finally:
        await player.close()
