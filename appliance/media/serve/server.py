"""The server of one stream: holds a request until the packager has published what it asks for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

from appliance.media.package.edge import LiveEdge, Outlook, Snapshot
from appliance.media.package.listing import part_file
from appliance.media.serve.http import (
    MAX_HEAD_BYTES,
    Answer,
    BadRequestError,
    read_request,
    render,
)
from appliance.media.serve.requests import (
    InvalidDirectiveError,
    PartRequest,
    PlaylistRequest,
    parse_target,
)
from appliance.media.unix_server import unix_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

log = logging.getLogger(__name__)

PLAYLIST_SOCKET: Final = "playlist.sock"
_SOCKET_MODE: Final = 0o660
"""The socket's group may connect, which is the directory's; nobody else."""

MAX_CONNECTIONS: Final = 512
"""nginx has one for each request that waits; more are turned away."""

PLAYLIST_TYPE: Final = "application/vnd.apple.mpegurl"
PART_TYPE: Final = "video/iso.segment"

_WAIT_TARGETS: Final = 3
"""Target durations after which a request is given up (RFC 8216bis, 6.2.5.2)."""

_NEXT_PART_TARGETS: Final = 0.6
_NEXT_PART_PARTS: Final = 2.0
"""Target durations, or parts where that is longer, after which a request for the next part is given up; for a
later one, when that one's time was.

A part takes longer only when the encoder is away. hls.js (1.7) waits for 0.8 target durations, or three
parts, and after three such waits asks for nothing any more, without calling that fatal.
"""

_SEND_S: Final = 10.0
"""Longest wait for a client to take an answer."""

_IDLE_S: Final = 75.0
"""How long a connection stays without a request: a little longer than nginx keeps it by default."""


class PlaylistServer:
    """Answers requests for one stream.

    Parameters
    ----------
    directory
        The stream's directory below the media root.
    edge
        Of the stream's packager, which runs in the same event loop.
    """

    def __init__(self, directory: Path, edge: LiveEdge) -> None:
        self._directory = directory
        self._edge = edge
        self._connections: set[asyncio.Task[None]] = set()
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    @contextlib.asynccontextmanager
    async def listening(self, socket: Path) -> AsyncIterator[None]:
        """Serves at the path `socket`, for its directory's group, until the block is left.

        Raises OSError when the socket cannot be made.
        """
        try:
            async with unix_server(socket, _SOCKET_MODE, self._connected, limit=MAX_HEAD_BYTES):
                self._edge.on_change = self._wake
                yield
        finally:
            self._edge.on_change = None
            for task in self._connections:
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

    async def answer(self, target: str, is_gone: Callable[[], bool] = lambda: False) -> Answer:
        """The answer to a GET of `target`, once there is one, or any when the client `is_gone`."""
        try:
            request = parse_target(target)
        except InvalidDirectiveError as error:
            return Answer(400, f"{error}\n".encode(), "text/plain")
        match request:
            case PlaylistRequest():
                return await self._playlist(request, is_gone)
            case PartRequest():
                return await self._part(request, is_gone)
        return Answer(404)

    async def _playlist(self, request: PlaylistRequest, is_gone: Callable[[], bool]) -> Answer:
        def outlook(snapshot: Snapshot) -> Outlook:
            return Outlook.READY if request.msn is None else snapshot.reload(request.msn, request.part)

        found = await self._wait(request, outlook, is_gone)
        if isinstance(found, Answer):
            return found
        snapshot, verdict = found
        if verdict is Outlook.NEVER:
            return Answer(400, b"too far ahead of the playlist\n", "text/plain")
        text = snapshot.delta() if request.skip else snapshot.text
        return Answer(200, text, PLAYLIST_TYPE)

    async def _part(self, request: PartRequest, is_gone: Callable[[], bool]) -> Answer:
        name = f"{request.epoch}/{request.rendition}/{part_file(request.msn, request.part)}"
        if (data := self._read(name)) is None:
            found = await self._wait(request, lambda now: now.part(request.msn, request.part), is_gone)
            if isinstance(found, Answer):
                return found
            data = self._read(name)
        if data is None:
            return Answer(404)
        return Answer(200, data, PART_TYPE, "max-age=3600, immutable")

    async def _wait(
        self,
        request: PlaylistRequest | PartRequest,
        outlook: Callable[[Snapshot], Outlook],
        is_gone: Callable[[], bool],
    ) -> tuple[Snapshot, Outlook] | Answer:
        """Waits until `outlook` is no longer WAIT; an answer stands for what cannot be waited for."""
        deadline: float | None = None
        loop = asyncio.get_running_loop()
        while True:
            snapshot = self._edge.snapshot(request.epoch, request.rendition)
            if snapshot is None:
                return Answer(404)
            verdict = outlook(snapshot)
            if verdict is not Outlook.WAIT:
                return snapshot, verdict
            if is_gone():
                return Answer(503)
            if deadline is None:
                deadline = loop.time() + patience(request, snapshot)
            waiting = self._waiting.setdefault(request.rendition, set())
            changed: asyncio.Future[None] = loop.create_future()
            waiting.add(changed)
            try:
                async with asyncio.timeout_at(deadline):
                    await changed
            except TimeoutError:
                return Answer(503)
            finally:
                waiting.discard(changed)

    def _wake(self, rendition: str) -> None:
        for future in self._waiting.pop(rendition, ()):
            if not future.done():
                future.set_result(None)

    def _read(self, name: str) -> bytes | None:
        # A part on a tmpfs: some hundred kilobytes of memory to be copied, and nothing to wait for.
        try:
            return (self._directory / name).read_bytes()
        except OSError:
            return None

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._connections) >= MAX_CONNECTIONS:
            writer.write(render(Answer(503), keep_alive=False))
            writer.close()
            return
        self._connections.add(task)
        try:
            # The stream must not end for what a client does: the session ends it for an error in a task.
            with contextlib.suppress(OSError, TimeoutError, asyncio.CancelledError):
                await self._serve(reader, writer)
        except Exception:
            log.exception("a playlist request failed")
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        keep_alive = True
        while keep_alive:
            try:
                async with asyncio.timeout(_IDLE_S):
                    request = await read_request(reader)
            except BadRequestError as error:
                await _send(writer, Answer(400, f"{error}\n".encode(), "text/plain"), keep_alive=False)
                return
            if request is None:
                return
            keep_alive = request.keep_alive
            if request.method == "GET":
                # nginx closes when its own client has; that is seen at the next part, not at once.
                answer = await self.answer(
                    request.target, lambda: reader.at_eof() or reader.exception() is not None
                )
            else:
                answer = Answer(405)
            await _send(writer, answer, keep_alive=keep_alive)


def longest_hold(target: float, part_target: float | None) -> float:
    """For how many seconds a request for what comes next in a playlist is held at most.

    Parameters
    ----------
    target
        The playlist's target duration, in seconds.
    part_target
        The longest part, in seconds; None where there are no parts.
    """
    most = _WAIT_TARGETS * target
    if part_target is None:
        return most
    return min(most, max(_NEXT_PART_TARGETS * target, _NEXT_PART_PARTS * part_target))


def patience(request: PlaylistRequest | PartRequest, snapshot: Snapshot) -> float:
    """For how many seconds `request` is held at most."""
    target, live = snapshot.playlist.target_duration, snapshot.playlist.low_latency
    most = longest_hold(target, None)
    if live is None or isinstance(request, PartRequest) or request.msn is None or request.part is None:
        return most
    next_part = longest_hold(target, live.part_target)
    return min(most, next_part + snapshot.ahead(request.msn, request.part) * live.part_target)


async def _send(writer: asyncio.StreamWriter, answer: Answer, *, keep_alive: bool) -> None:
    writer.write(render(answer, keep_alive=keep_alive))
    try:
        async with asyncio.timeout(_SEND_S):
            await writer.drain()
    except TimeoutError:
        # Closing would wait for it to take the rest, for ever.
        writer.transport.abort()
        raise
