"""How many sessions a device carries: more and more of them side by side, until one is below real time."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from appliance.media.capacity.figures import Limit, Step
from appliance.media.capacity.trial import TrialError
from appliance.media.encode.gpu_faults import GpuFault, fault_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from appliance.media.capacity.trial import Session


@dataclass(frozen=True, slots=True)
class Rise:
    """All steps, what the last one did that ran, and what ended it (`reason`, in words, when it is said).

    `refused` is the least number of sessions of which the driver has refused one, whatever ended the rise.
    """

    steps: tuple[Step, ...]
    last: Sequence[Session]
    limit: Limit
    reason: str = ""
    refused: int | None = None

    @property
    def streams(self) -> int:
        """How many were carried, each at real time."""
        held = max((step.sessions for step in self.steps if step.slowest >= 1), default=0)
        if self.limit != "speed":
            return held
        # All together did the last step's work; with fewer of them each would have had its share.
        return max(held, min(self.steps[-1].sessions - 1, int(self.steps[-1].together)))


async def rise(
    run: Callable[[int], Awaitable[Sequence[Session]]],
    *,
    seconds: float,
    tell: Callable[[str], None],
) -> Rise:
    """Calls `run` with more and more sessions, for about `seconds` at most; `tell` hears how each step went.

    Raises TrialError when a single session does not work.
    """
    deadline, available = time.monotonic() + seconds, psutil.virtual_memory().available
    steps: list[Step] = []
    last: Sequence[Session] = ()
    count, refused, why = 1, sys.maxsize, ""

    def ended(limit: Limit) -> Rise:
        return Rise(tuple(steps), last, limit, why, None if refused == sys.maxsize else refused)

    while True:
        try:
            found = await run(count)
        except TrialError as error:
            if not steps:
                raise
            why = str(error)
            tell(f"{count} sessions: {error}")
            if fault_of(why) is not GpuFault.FULL:
                return ended("failed")
            refused = count
        else:
            last, speeds = found, [session.speed for session in found]
            steps.append(Step(count, round(min(speeds), 3), round(sum(speeds), 3)))
            tell(f"{_sessions(count)}: slowest {min(speeds):.2f} of real time, together {sum(speeds):.2f}")
            if min(speeds) < 1:
                return ended("speed")
        held = steps[-1]
        if held.sessions + 1 >= refused:
            return ended("refused")
        count = max(held.sessions + 1, int(held.sessions * held.slowest))
        # Between what ran and what was refused: more may run than did.
        count = min(count, (held.sessions + refused) // 2)
        if count * max(session.memory for session in last) > available:
            return ended("memory")
        if time.monotonic() > deadline:
            return ended("time")


def _sessions(count: int) -> str:
    return f"{count} session{'' if count == 1 else 's'}"
