"""More and more sessions, until there are too many."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from appliance.media.capacity.rising import Rise, rise
from appliance.media.capacity.trial import Session, TrialError

FULL = "OpenEncodeSessionEx failed: out of memory (10): (no details)"


@dataclass
class Device:
    """Encodes `together` real times in all, a session at most `each`; refuses more than `most`."""

    together: float
    each: float = 100.0
    most: int = 10_000
    memory: int = 1
    asked: list[int] = field(default_factory=list)

    async def run(self, sessions: int) -> list[Session]:
        self.asked.append(sessions)
        if sessions > self.most:
            raise TrialError(FULL)
        return [Session(min(self.each, self.together / sessions), 1.0, self.memory)] * sessions

    async def rise(self, seconds: float = 60) -> Rise:
        return await rise(self.run, seconds=seconds, tell=lambda _: None)


@pytest.mark.parametrize("together", [0.4, 1.0, 1.5, 2.0, 7.3, 40.2])
async def test_as_many_are_carried_as_have_real_time(together: float) -> None:
    device = Device(together, each=3.0)
    found = await device.rise()
    assert found.limit == "speed"
    assert found.streams == int(together)
    assert device.asked == sorted(set(device.asked))
    assert len(device.asked) < 9


@pytest.mark.parametrize("most", [1, 3, 5, 8])
async def test_a_driver_that_refuses_is_asked_for_as_many_as_it_gives(most: int) -> None:
    device = Device(100.0, each=4.0, most=most)
    found = await device.rise()
    assert (found.limit, found.reason, found.streams) == ("refused", FULL, most)
    assert found.refused == most + 1
    assert max(step.sessions for step in found.steps) == most


async def test_a_device_that_encodes_nothing_says_why() -> None:
    with pytest.raises(TrialError, match="out of memory"):
        await Device(1.0, most=0).rise()


async def test_memory_and_time_end_it_too() -> None:
    found = await Device(1e9, each=2.0, memory=1 << 60).rise()
    assert (found.limit, found.streams) == ("memory", 1)
    found = await Device(1e9, each=2.0).rise(seconds=-1)
    assert (found.limit, found.streams) == ("time", 1)
