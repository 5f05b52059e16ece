"""One FFmpeg process: its pipes, its progress, its messages, and in words how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import re
import signal
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from appliance.media.encode.gpus import environment_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.media.encode.gpus import GpuId

log = logging.getLogger(__name__)

_PIPE_BYTES: Final = 1024 * 1024
"""The largest pipe an unprivileged process may ask for (pipe(7)): FFmpeg waits for no fragment."""

_FPS_WINDOW_S: Final = 10.0
_STOP_S: Final = 5.0
_STUCK_S: Final = 0.5
"""A killed FFmpeg is waited for no longer: a driver whose GPU is lost may hold it for ever."""

_HUNG_STUCK_S: Final = 0.1
"""The same of one that hung: nothing came out of it, so nothing is lost with it."""

_LAST_LINES: Final = 5
_MOST_ERRORS: Final = 20
_QUIET_LINES: Final = 200
"""Lines of one run that reach the journal; a broken source makes FFmpeg print one for each frame."""

_FROM_OUTSIDE: Final = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
"""Signals that a process gets from others: an operator, or the kernel that is out of memory."""

_LEVEL: Final = re.compile(r"(?:\[[^\]]* @ 0x[0-9a-f]+\] )?\[(fatal|error|warning|panic)\] ?")


@dataclass(frozen=True, slots=True)
class Ending:
    """How FFmpeg ended, in words.

    `outside`: somebody else has killed it, or could not take what it made; `given_up`: we have, as it hung.
    """

    reason: str
    code: int
    outside: bool = False
    given_up: bool = False


class OutputSink(Protocol):
    """Takes the bytes of one rendition."""

    def __call__(self, rendition: str, data: bytes, /) -> None: ...


class CommandBuilder(Protocol):
    """Builds the command line once the descriptors of the pipes are known."""

    def __call__(self, outputs: Sequence[int], progress: int, /) -> list[str]: ...


class FFmpeg:
    """A running FFmpeg. Made by `start`; `ended` gives the Ending once every pipe is at its end."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._asked = False
        self._given_up: str | None = None
        self._lines: list[str] = []
        self._fault: BaseException | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._pipes: list[asyncio.ReadTransport] = []
        self.errors: list[str] = []
        """The first errors that it printed: what others follow from."""
        self.fps: float | None = None
        """Frames per second of the last ten seconds; FFmpeg's own figure is an average since its start."""
        self.ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()

    @classmethod
    async def start(
        cls, build: CommandBuilder, renditions: Sequence[str], sink: OutputSink, *, gpu: GpuId | None = None
    ) -> FFmpeg:
        """Starts the command that `build` returns; `sink` is called in the event loop as bytes arrive.

        It sees `gpu` alone, or all there are. Raises OSError when it cannot be started.
        """
        reads, writes = [], []
        try:
            for _ in range(len(renditions) + 1):
                read, write = os.pipe()
                reads.append(read)
                writes.append(write)
                with contextlib.suppress(OSError):  # the user's share of pipe memory is used up: smaller then
                    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            process = await asyncio.create_subprocess_exec(
                *build(writes[1:], writes[0]),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=writes,
                env={**os.environ, **environment_of(gpu)},
            )
        except BaseException:
            for descriptor in reads:
                os.close(descriptor)
            raise
        finally:
            for descriptor in writes:
                os.close(descriptor)
        self = cls(process)
        outputs = []
        for descriptor, rendition in zip(reads[1:], renditions, strict=True):
            done, pipe = await _read_output(descriptor, rendition, sink)
            outputs.append(done)
            self._pipes.append(pipe)
        progress, pipe = await _stream_reader(reads[0])
        self._pipes.append(pipe)
        self._watcher = asyncio.create_task(self._watch(progress, outputs))
        return self

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def backlog(self) -> int:
        """Bytes written that FFmpeg has not taken yet."""
        stdin = self._process.stdin
        return 0 if stdin is None or stdin.is_closing() else stdin.transport.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        """Hands `data` to its input without waiting; after its end the data is dropped."""
        stdin = self._process.stdin
        if stdin is not None and not stdin.is_closing() and self._process.returncode is None:
            stdin.write(data)

    async def finish(self, *, patience_s: float = _STOP_S) -> Ending:
        """Closes its input, lets it write what it holds, kills it after `patience_s`; returns its ending."""
        self._asked = True
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(patience_s):
                return await asyncio.shield(self.ended)
        except TimeoutError:
            log.warning("FFmpeg did not end within %g s and is killed", patience_s)
            return await self.kill()

    async def kill(self) -> Ending:
        """Ends it at once and returns its ending."""
        self._asked = True
        self._kill()
        return await asyncio.shield(self.ended)

    def give_up(self, reason: str) -> None:
        """Kills it; `ended` will say `reason`."""
        self._given_up = reason
        self._kill(_HUNG_STUCK_S)

    def _kill(self, patience_s: float = _STUCK_S) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        asyncio.get_running_loop().call_later(patience_s, self._abandon)

    def _abandon(self) -> None:
        """Waits no longer for a process that was killed and does not go: nothing of it counts any more."""
        if self.ended.done() or self._watcher is None:
            return
        log.warning("FFmpeg (pid %d) was killed and does not go: it is left behind", self.pid)
        self._watcher.cancel()
        for pipe in self._pipes:
            pipe.close()
        if self._process.stdin is not None:
            self._process.stdin.transport.abort()
        reason = self._given_up or "stopped"
        self.ended.set_result(Ending(reason, -signal.SIGKILL, given_up=self._given_up is not None))

    async def _watch_progress(self, stream: asyncio.StreamReader) -> None:
        frames: deque[tuple[float, int]] = deque()
        while line := await _line(stream):
            name, _, value = line.decode(errors="replace").strip().partition("=")
            if name != "frame" or not value.strip().isdecimal():
                continue
            now, frame = time.monotonic(), int(value)
            frames.append((now, frame))
            while now - frames[0][0] > _FPS_WINDOW_S:
                frames.popleft()
            begun, first = frames[0]
            self.fps = (frame - first) / (now - begun) if now > begun else None

    async def _watch_messages(self) -> None:
        stderr = self._process.stderr
        if stderr is None:
            return
        count = 0
        while line := await _line(stderr):
            text = line.decode(errors="replace").strip()
            match = _LEVEL.search(text)
            level = logging.WARNING if match and match[1] == "warning" else logging.ERROR
            text = _LEVEL.sub("", text)
            if level == logging.ERROR and text:
                self.errors = [*self.errors, text][:_MOST_ERRORS]
            self._lines = [*self._lines[1 - _LAST_LINES :], text]
            count += 1
            if count <= _QUIET_LINES:
                log.log(level, "ffmpeg: %s", text)
            if count == _QUIET_LINES:
                log.warning("ffmpeg: further messages of this run are left out")

    async def _watch_output(self, output: asyncio.Future[None]) -> None:
        try:
            await output
        except (OSError, ValueError) as error:
            # Nothing that comes after the fault can be used; the other renditions must stop at the same
            # place.
            self._fault = self._fault or error
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def _watch(self, progress: asyncio.StreamReader, outputs: list[asyncio.Future[None]]) -> None:
        watched = [self._watch_progress(progress), self._watch_messages()]
        await asyncio.gather(*watched, *(self._watch_output(output) for output in outputs))
        code = await self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
            with contextlib.suppress(OSError):  # a broken pipe says what the exit status says better
                await self._process.stdin.wait_closed()
        given_up = self._given_up is not None
        outside = self._fault is not None or (not given_up and -code in _FROM_OUTSIDE)
        self.ended.set_result(Ending(self._reason(code), code, outside=outside, given_up=given_up))

    def _reason(self, code: int) -> str:
        if self._fault is not None:
            return f"its output cannot be packaged: {self._fault}"
        if self._given_up is not None:
            return self._given_up
        last = f": {self._lines[-1]}" if self._lines else ""
        if code < 0:
            try:
                name = signal.Signals(-code).name
            except ValueError:
                name = f"signal {-code}"
            return f"killed by {name}" if not self._asked else "stopped"
        if code > 0:
            return f"exit status {code}{last}"
        return "end of input" if self._asked else f"ended by itself{last}"


class _PipeReader(asyncio.Protocol):
    def __init__(self, rendition: str, sink: OutputSink, done: asyncio.Future[None]) -> None:
        self._rendition = rendition
        self._sink = sink
        self._done = done

    def data_received(self, data: bytes) -> None:
        if self._done.done():
            return
        try:
            self._sink(self._rendition, data)
        except (OSError, ValueError) as error:
            self._done.set_exception(error)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio.Protocol's
        if not self._done.done():
            self._done.set_result(None)


async def _read_output(
    descriptor: int, rendition: str, sink: OutputSink
) -> tuple[asyncio.Future[None], asyncio.ReadTransport]:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    pipe = os.fdopen(descriptor, "rb", buffering=0)
    transport, _ = await loop.connect_read_pipe(lambda: _PipeReader(rendition, sink, done), pipe)
    return done, transport


async def _stream_reader(descriptor: int) -> tuple[asyncio.StreamReader, asyncio.ReadTransport]:
    reader, loop = asyncio.StreamReader(), asyncio.get_running_loop()
    pipe = os.fdopen(descriptor, "rb", buffering=0)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader, transport


async def _line(stream: asyncio.StreamReader) -> bytes:
    """Returns the next line, b"" at the end; one longer than the buffer comes in pieces."""
    try:
        return await stream.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError as error:
        return await stream.read(error.consumed)
