"""Events in a real Valkey: who delivers, what is taken over, dead letters; and the operator's commands."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from appliance.errors import EX_DATAERR, EX_UNAVAILABLE, EX_USAGE
from appliance.state.events import EVENTS, GROUP, Event, Events
from appliance.state.valkey import State
from tests.integration.control.conftest import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.integration.control.processes import Valkey

PROGRAM = "from appliance.cli.main import main; main()"


@dataclass
class Host:
    """A host's events, its Valkey, and its command."""

    events: Events
    state: State
    server: Valkey
    files: Path

    async def add(self, *kinds: str, stream: str = "demo") -> list[Event]:
        """Stores events of these kinds."""
        made = [Event.new(kind, stream, {}) for kind in kinds]
        for event in made:
            await self.events.add(event)
        return made

    async def bury_all(self) -> None:
        """Makes dead letters of everything."""
        entries, _ = await self.events.left_over("here")
        for entry in [*entries, *await self.events.read("here")]:
            await self.events.bury(entry, attempts=7, reason="the backend answered 500")

    async def call(self, *arguments: str) -> tuple[int, str, str]:
        """`appliance events`: its exit status, output and errors."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM, "events", *arguments),
            *(f"--settings={self.files / 'appliance.yml'}", f"--directory={self.files / 'credentials'}"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()


@pytest.fixture
async def host(valkey: tuple[Valkey, str], tmp_path: Path) -> AsyncIterator[Host]:
    server, password = valkey
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "valkey-password").write_text(password)
    (tmp_path / "appliance.yml").write_text(yaml.safe_dump({"valkey_socket": str(server.socket)}))
    state = State(server.socket, password)
    yield Host(Events(state), state, server, tmp_path)
    await state.close()


async def test_one_delivers_until_it_resigns_or_dies(host: Host) -> None:
    events = host.events
    assert await events.lead("one", 10_000)
    assert not await events.lead("two", 10_000)
    assert await events.lead("one", 10_000)
    await events.resign("two")
    assert not await events.lead("two", 10_000)
    await events.resign("one")
    assert await events.lead("two", 1)
    await eventually(lambda: events.lead("one", 10_000))


async def test_what_another_read_and_did_not_settle_is_taken_over_in_order(host: Host) -> None:
    stored = await host.add("a", "b", "c", "d")
    await host.events.left_over("one")
    read = await host.events.read("one")
    assert [entry.event for entry in read] == stored
    await host.events.settle(read[1])
    await host.events.note_attempt("one", read[2], 5)
    entries, lost = await host.events.left_over("two")
    assert [(entry.event.type, entry.attempt) for entry in entries] == [("a", 2), ("c", 6), ("d", 2)]
    assert lost == 0
    assert await host.events.read("two") == []


async def test_what_the_bound_pushed_out_unsettled_is_counted(host: Host) -> None:
    await host.add("a", "b", "c")
    await host.events.left_over("one")
    await host.events.read("one")
    await host.state.client.xtrim(EVENTS, maxlen=1, approximate=False)
    entries, lost = await host.events.left_over("two")
    assert ([entry.event.type for entry in entries], lost) == (["c"], 2)


async def test_more_than_a_batch_is_taken_over(host: Host) -> None:
    await host.add(*(str(number) for number in range(250)))
    await host.events.left_over("one")
    read = 0
    while entries := await host.events.read("one"):
        read += len(entries)
    assert read == 250
    entries, _ = await host.events.left_over("two")
    assert [entry.event.type for entry in entries] == [str(number) for number in range(250)]


async def test_a_dead_letter_is_replayed_once_as_it_was(host: Host) -> None:
    [event] = await host.add("publish.started")
    await host.bury_all()
    assert (await host.state.client.xpending(EVENTS, GROUP))["pending"] == 0
    [letter] = await host.events.dead()
    assert (letter.event, letter.attempt, letter.reason) == (event, 7, "the backend answered 500")
    assert await host.events.replay(letter)
    assert not await host.events.replay(letter)
    [again] = await host.events.read("here")
    assert again.event == event
    assert await host.events.dead() == []


async def test_an_operator_sees_events_and_their_state(host: Host) -> None:
    first, second, third = await host.add("publish.started", "publish.ended", "publish.started")
    await host.events.left_over("here")
    entries = (await host.events.read("here"))[:2]
    await host.events.settle(entries[0])
    status, out, _ = await host.call("tail")
    assert status == 0
    rows = [[cell.strip() for cell in line.split("│")[2:-1]] for line in out.splitlines() if "evt_" in line]
    assert rows == [
        ["demo", "publish.started", first.identity, "delivered"],
        ["demo", "publish.ended", second.identity, "attempt 1"],
        ["demo", "publish.started", third.identity, "attempt 1"],
    ]
    status, out, _ = await host.call("tail", "--json", "-n", "1")
    assert json.loads(out) == {
        "id": third.identity,
        "type": "publish.started",
        "stream": "demo",
        "stored": json.loads(out)["stored"],
        "state": "attempt 1",
        "body": json.loads(third.body),
    }


async def test_a_dead_letter_is_no_delivered_event(host: Host) -> None:
    async def states() -> list[tuple[str, str]]:
        return [(entry.event.type, state) for entry, state in await host.events.newest(10)]

    await host.add("a", "b", "c")
    await host.events.left_over("here")
    entries = await host.events.read("here")
    await host.events.settle(entries[0])
    for entry in entries[1:]:
        await host.events.bury(entry, attempts=7, reason="the backend answered 500")
    await host.add("d")
    assert await states() == [("a", "delivered"), ("b", "dead"), ("c", "dead"), ("d", "new")]
    assert [json.loads(line)["state"] for line in (await host.call("tail", "--json"))[1].splitlines()] == [
        state for _, state in await states()
    ]
    assert await host.events.replay((await host.events.dead())[0])
    *before, again = await states()
    assert before == [("a", "delivered"), ("b", "replayed"), ("c", "dead"), ("d", "new")]
    assert again == ("b", "new")
    for entry in await host.events.read("here"):
        await host.events.bury(entry, attempts=7, reason="the backend answered 500")
    assert [state for _, state in await states()] == ["delivered", "replayed", "dead", "dead", "dead"]


async def test_following_shows_what_comes(host: Host) -> None:
    await host.add("a")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, "events", "tail", "--follow", "--json"),
        *(f"--settings={host.files / 'appliance.yml'}", f"--directory={host.files / 'credentials'}"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            assert json.loads(await process.stdout.readline())["type"] == "a"
            await host.add("b", "c")
            assert [json.loads(await process.stdout.readline())["type"] for _ in range(2)] == ["b", "c"]
    finally:
        process.kill()
        await process.wait()


async def test_an_operator_sees_and_replays_dead_letters(host: Host) -> None:
    first, second, third = await host.add("publish.started", "publish.ended", "publish.started")
    assert (await host.call("dead", "--json"))[1] == "[]\n"
    await host.bury_all()
    status, out, _ = await host.call("dead")
    assert status == 0
    assert [event.identity in out for event in (first, second, third)] == [True] * 3
    assert "the backend answered 500" in out
    status, out, err = await host.call("replay", "evt_nobody")
    assert (status, "no dead letters: evt_nobody; there are 3 others" in err) == (EX_DATAERR, True)
    status, out, _ = await host.call("replay", second.identity)
    assert (status, out) == (0, f"{second.identity}: publish.ended of demo is told again\n")
    assert [item["id"] for item in json.loads((await host.call("dead", "--json"))[1])] == [
        first.identity,
        third.identity,
    ]
    assert (await host.call("replay", "--all"))[0] == 0
    assert await host.events.dead() == []
    assert [entry.event for entry in await host.events.read("here")] == [second, first, third]


async def test_the_commands_name_what_is_wrong(host: Host) -> None:
    assert (await host.call("replay"))[0] == EX_USAGE
    assert (await host.call("replay", "evt_1", "--all"))[0] == EX_USAGE
    await host.server.end()
    for command in ("tail", "dead"):
        status, _, err = await host.call(command)
        assert status == EX_UNAVAILABLE
        assert f"Valkey at {host.server.socket}: " in err
        assert "journalctl -u valkey-server" in err
        assert "Traceback" not in err
    (host.files / "credentials" / "valkey-password").unlink()
    _, _, err = await host.call("dead")
    assert "valkey-password: No such file or directory" in err
