"""A head and its body leave in one write, and nothing of them is lost at a close."""

from __future__ import annotations

import asyncio
from typing import cast

from appliance.control.gathered_writes import GatheredWrites


class Transport:
    """Notes what it is given."""

    def __init__(self) -> None:
        self.given: list[bytes | str] = []

    def write(self, data: bytes) -> None:
        """As a transport's."""
        self.given.append(data)

    def close(self) -> None:
        """As a transport's."""
        self.given.append("closed")

    def is_closing(self) -> bool:
        """As a transport's."""
        return "closed" in self.given


async def test_one_turn_is_one_write() -> None:
    under = Transport()
    gathered = GatheredWrites(cast("asyncio.Transport", under), asyncio.get_running_loop())
    gathered.write(b"head ")
    gathered.write(b"body")
    assert under.given == []
    await asyncio.sleep(0)
    gathered.write(b"next")
    await asyncio.sleep(0)
    assert under.given == [b"head body", b"next"]


async def test_a_close_comes_after_what_was_written() -> None:
    under = Transport()
    gathered = GatheredWrites(cast("asyncio.Transport", under), asyncio.get_running_loop())
    gathered.write(b"last")
    gathered.close()
    gathered.write(b"too late")
    await asyncio.sleep(0)
    assert under.given == [b"last", "closed"]
    assert gathered.is_closing()
