"""Several FFmpegs side by side, each with a stream's own command, given pictures as fast as they take them.

How many seconds of media each takes in a second of the clock is its speed. A stream whose speed is below 1
falls behind for ever; one above has time left over.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import psutil

from appliance.media.encode.command import ffmpeg_command
from appliance.media.encode.ffmpeg import FFmpeg
from appliance.media.encode.gpu_faults import telling

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from appliance.media.capacity.material import Clip
    from appliance.media.encode.command import RunPlan

_BACKLOG: Final = 256 * 1024
"""Bytes ahead of FFmpeg: enough that it never waits for pictures."""
_FIRST_S: Final = 30.0
"""Longest wait for all sessions' first output; a stream would be given up sooner."""
_SETTLE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Session:
    """What one FFmpeg did in the seconds that count.

    `speed` in real times, `cores` in CPU seconds a second, `memory` in bytes at the end (resident).
    """

    speed: float
    cores: float
    memory: int


class TrialError(Exception):
    """A session did not begin, or ended: the text is FFmpeg's own reason, in one line."""


class _Encode:
    """One FFmpeg, the frames it is given, and how much of them it has taken."""

    def __init__(self, plan: RunPlan, clip: Clip) -> None:
        self.plan = plan
        self.begun = asyncio.Event()
        self.ffmpeg: FFmpeg
        self._clip = clip
        self._given = 0
        self._ahead: deque[tuple[int, int]] = deque()
        self._taken_ms = 0
        self._mark = (0.0, 0, 0.0)

    async def run(self, ffmpeg: str) -> None:
        """Starts FFmpeg and feeds it until it ends, or this task is cancelled. Raises TrialError."""
        plan = self.plan
        try:
            self.ffmpeg = await FFmpeg.start(
                lambda pipes, progress: ffmpeg_command(plan, outputs=pipes, progress=progress, ffmpeg=ffmpeg),
                plan.outputs,
                self._take_output,
                gpu=plan.encoder.gpu,
            )
        except OSError as error:
            raise TrialError(f"{ffmpeg} cannot be started: {error.strerror}") from None
        try:
            await self._feed()
        finally:
            await self.ffmpeg.kill()

    async def _feed(self) -> None:
        self.ffmpeg.write(self._clip.begin())
        for at, tag in self._clip.play():
            while self.ffmpeg.backlog > _BACKLOG:  # noqa: ASYNC110 - nothing tells when it is less
                await asyncio.sleep(0.005)
            await asyncio.sleep(0)
            if self.ffmpeg.ended.done():
                errors = self.ffmpeg.errors
                said = telling(errors) or (errors[0] if errors else self.ffmpeg.ended.result().reason)
                raise TrialError(said)
            self.ffmpeg.write(tag)
            self._given += len(tag)
            self._ahead.append((self._given, at))

    def mark(self) -> None:
        """What counts begins now."""
        self._mark = self._look()

    def measured(self) -> Session:
        """What was done since the mark."""
        (begun, taken, cpu), (now, taken_now, cpu_now) = self._mark, self._look()
        seconds = now - begun
        memory = psutil.Process(self.ffmpeg.pid).memory_info().rss
        return Session((taken_now - taken) / 1000 / seconds, (cpu_now - cpu) / seconds, memory)

    def _look(self) -> tuple[float, int, float]:
        taken = self._given - self.ffmpeg.backlog
        while self._ahead and self._ahead[0][0] <= taken:
            self._taken_ms = self._ahead.popleft()[1]
        times = psutil.Process(self.ffmpeg.pid).cpu_times()
        return time.monotonic(), self._taken_ms, times.user + times.system

    def _take_output(self, _name: str, _data: bytes) -> None:
        self.begun.set()


async def trial(
    plan: RunPlan, clip: Clip, sessions: int, seconds: float, *, ffmpeg: str = "ffmpeg"
) -> list[Session]:
    """Runs `plan` over `clip` in so many FFmpegs; returns what each did in `seconds` in which all were busy.

    Raises TrialError when one of them does not begin, or ends.
    """
    encodes = [_Encode(plan, clip) for _ in range(sessions)]
    tasks = [asyncio.create_task(encode.run(ffmpeg)) for encode in encodes]
    try:
        try:
            async with asyncio.timeout(_FIRST_S):
                await _while_running(tasks, asyncio.gather(*(encode.begun.wait() for encode in encodes)))
        except TimeoutError:
            raise TrialError(f"nothing came out within {_FIRST_S:g} s") from None
        await _while_running(tasks, asyncio.sleep(_SETTLE_S))
        try:
            for encode in encodes:
                encode.mark()
            await _while_running(tasks, asyncio.sleep(seconds))
            return [encode.measured() for encode in encodes]
        except psutil.NoSuchProcess:
            raise TrialError("FFmpeg has ended") from None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _while_running(tasks: Sequence[asyncio.Task[None]], what: Awaitable[object]) -> None:
    """Waits for `what`. Raises TrialError as soon as one of `tasks` does."""
    waited = asyncio.ensure_future(what)
    try:
        done, _ = await asyncio.wait([waited, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        waited.cancel()
        # Awaited too, or asyncio would complain at the end of an error that nobody has seen.
        await asyncio.gather(waited, return_exceptions=True)
