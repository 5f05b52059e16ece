"""The readers' registry: who waits is let go when the reader is there, and nobody waits for one that is."""

from __future__ import annotations

import asyncio

from appliance.control.readers import Readers
from appliance.names import StreamName

DEMO, OTHER = StreamName("demo"), StreamName("other")


async def test_a_publish_waits_for_its_own_reader() -> None:
    readers = Readers()
    waiting = asyncio.create_task(readers.wait(DEMO, 5))
    await asyncio.sleep(0)
    readers.join(OTHER, "1")
    await asyncio.sleep(0)
    assert not waiting.done()
    readers.join(DEMO, "2")
    assert await waiting


async def test_the_wait_ends_by_itself() -> None:
    assert not await Readers().wait(DEMO, 0.01)


async def test_a_reader_that_is_there_is_not_waited_for() -> None:
    readers = Readers()
    readers.join(DEMO, "1")
    assert await readers.wait(DEMO, 0)


async def test_a_reader_that_left_is_waited_for_again() -> None:
    readers = Readers()
    readers.join(DEMO, "1")
    readers.leave(DEMO, "1")
    readers.leave(DEMO, "unknown")
    assert not await readers.wait(DEMO, 0.01)


async def test_what_stat_lists_is_taken_over() -> None:
    readers = Readers()
    readers.join(DEMO, "1")
    readers.compare({OTHER: frozenset({"7"}), DEMO: frozenset()})
    assert readers.present(OTHER)
    # It joined a moment ago: nginx may not list it yet.
    assert readers.present(DEMO)
