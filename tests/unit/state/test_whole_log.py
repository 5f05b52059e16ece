"""When Valkey's log counts as whole again after a write of it failed."""

from __future__ import annotations

from typing import Any, cast

from appliance.state.valkey import State
from appliance.state.whole_log import WholeLog

GOOD = {"aof_last_write_status": "ok", "aof_rewrite_in_progress": 0, "aof_last_bgrewrite_status": "ok"}


class Says:
    """A Valkey that says one thing after the other of its log."""

    def __init__(self, *said: dict[str, Any]) -> None:
        self._said = list(said)
        self.rewrites = 0

    async def ask_apart(self, *commands: tuple[str, ...]) -> list[Any]:
        if commands == (("BGREWRITEAOF",),):
            self.rewrites += 1
            return ["Background append only file rewriting started"]
        return [self._said.pop(0)]


async def told(*said: dict[str, Any]) -> tuple[list[str], int]:
    """What is told of a Valkey that says `said`, and how many rewrites it was asked for."""
    valkey, words = Says(*said), list[str]()
    log = WholeLog(cast("State", valkey), words.append)
    for _ in said:
        await log.look()
    return words, valkey.rewrites


async def test_a_log_whose_writes_never_failed_is_left_alone() -> None:
    assert await told(GOOD, GOOD) == ([], 0)


async def test_a_rewrite_that_waits_for_its_turn_is_none_yet() -> None:
    """Beside a snapshot Valkey puts it off, and has the status of the one before until then."""
    failing = GOOD | {"aof_last_write_status": "err"}
    waiting = GOOD | {"aof_rewrite_scheduled": 1}
    assert await told(failing, GOOD, waiting) == (["cannot be written"], 1)
    assert await told(failing, GOOD, waiting, GOOD) == (["cannot be written", "written anew"], 1)


async def test_a_rewrite_that_failed_is_asked_for_again() -> None:
    failing = GOOD | {"aof_last_write_status": "err"}
    failed = GOOD | {"aof_last_bgrewrite_status": "err"}
    assert await told(failing, GOOD, failed, GOOD) == (["cannot be written", "written anew"], 2)
