"""Starting the streams' units, over systemd's D-Bus interface (org.freedesktop.systemd1(5)).

The service is unprivileged; one polkit rule lets it start `stream@*.service` and
`appliance-rotate-content-key@*.service`, and nothing else.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from dbus_fast import BusType, DBusError, Message, MessageType
from dbus_fast.aio import MessageBus

from appliance.names import StreamName, is_stream_name, rotation_unit, stream_unit

_SYSTEMD: Final = "org.freedesktop.systemd1"
_SECONDS: Final = 3.0
_RUNNING: Final = frozenset({"active", "activating", "reloading"})


class UnitsUnavailableError(Exception):
    """systemd refused, or did not answer."""


class StreamUnits:
    """The units `stream@NAME.service` of this host. Every method raises UnitsUnavailableError."""

    def __init__(self) -> None:
        self._bus: MessageBus | None = None
        self._connecting = asyncio.Lock()

    async def start(self, stream: StreamName, *, seconds: float = _SECONDS) -> None:
        """Starts the unit of `stream`; nothing happens when it runs. Returns when the job is queued.

        systemd has at most `seconds` for it. After that it may still start the unit: one without a publisher
        ends by itself.
        """
        await self._call("StartUnit", "ss", [stream_unit(stream), "replace"], seconds)

    async def rotate_key(self, stream: StreamName) -> None:
        """Has a unit of its own tell `stream` to change its content key. Returns when the job is queued."""
        await self._call("StartUnit", "ss", [rotation_unit(stream), "replace"])

    async def running(self) -> set[StreamName]:
        """The streams whose unit runs or is being started."""
        rows = await self._call("ListUnitsByPatterns", "asas", [[], ["stream@*.service"]])
        streams = set()
        for row in rows:
            name = row[0].removeprefix("stream@").removesuffix(".service")
            if row[3] in _RUNNING and is_stream_name(name):
                streams.add(StreamName(name))
        return streams

    async def ping(self) -> None:
        """Asks systemd for its list of streams, as a proof that it answers."""
        await self.running()

    async def close(self) -> None:
        """Leaves the bus."""
        if self._bus is not None:
            self._bus.disconnect()
            self._bus = None

    async def _call(self, member: str, signature: str, body: list[Any], seconds: float = _SECONDS) -> Any:
        message = Message(
            destination=_SYSTEMD,
            path="/org/freedesktop/systemd1",
            interface=f"{_SYSTEMD}.Manager",
            member=member,
            signature=signature,
            body=body,
        )
        try:
            async with asyncio.timeout(seconds):
                reply = await (await self._connected()).call(message)
        except TimeoutError:
            # The bus stays: others may wait on it for answers of their own, and slow is not lost.
            raise UnitsUnavailableError(f"{member}: systemd did not answer within {seconds:.1f} s") from None
        except (OSError, EOFError, DBusError) as error:
            await self.close()
            raise UnitsUnavailableError(f"{member}: {error}") from error
        if reply is None or reply.message_type is MessageType.ERROR:
            reason = "no reply" if reply is None else f"{reply.error_name}: {' '.join(map(str, reply.body))}"
            raise UnitsUnavailableError(f"{member}: {reason}")
        return reply.body[0]

    async def _connected(self) -> MessageBus:
        async with self._connecting:
            if self._bus is None or not self._bus.connected:
                self._bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
            return self._bus
