"""Rotating and purging master keys: the order of the steps, and what a failure between two of them leaves."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from appliance.errors import EX_OSERR, EX_UNAVAILABLE, OperatorError
from appliance.media.stream_client import StreamClient
from appliance.media.stream_socket import listening
from appliance.names import StreamName
from appliance.ops.master_key import MasterKey
from appliance.secrets.credentials import replace_credential
from appliance.secrets.keyring import Keyring
from tests.support.key_user import Stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@dataclass
class Host:
    """A keyring on disk, a control service that reads it when it starts, streams with their sockets."""

    directory: Path
    streams: dict[str, Stream] = field(default_factory=dict)
    control: Keyring | None = None
    control_fails: bool = False
    said: list[str] = field(default_factory=list)
    hung: set[str] = field(default_factory=set)
    """Streams that run without a socket."""

    @property
    def path(self) -> Path:
        return self.directory / "content-keyring"

    @property
    def keyring(self) -> Keyring:
        return Keyring.load(self.path)

    def restart(self) -> None:
        if self.control_fails:
            raise OperatorError("it did not start", exit_code=EX_OSERR)
        self.control = Keyring.load(self.path)
        self.playable()

    def playable(self) -> None:
        """Every key that is in use anywhere has an answer."""
        assert self.control is not None
        for name, stream in self.streams.items():
            assert stream.content_key is not None, name
            assert self.control.derive(stream.content_key[0], name)

    def client(self) -> StreamClient:
        names = {StreamName(name) for name in self.streams}
        return StreamClient(self.directory / "run", units=lambda: names, start_seconds=0)

    def master(self) -> MasterKey:
        return MasterKey(self.path, self.client(), restart=self.restart, say=self.said.append)

    def room(self, name: str) -> Path:
        """Where systemd lets the stream have its socket."""
        made = self.directory / "run" / name
        made.mkdir(parents=True, exist_ok=True)
        return made

    @contextlib.asynccontextmanager
    async def running(self, *names: str) -> AsyncIterator[None]:
        """Streams that have the keyring on disk, as their units begin with it."""
        async with contextlib.AsyncExitStack() as stack:
            for name in names:
                stream = self.streams[name] = Stream(self.keyring)
                stream.rotate_key()
                if name not in self.hung:
                    room = self.room(name)
                    await stack.enter_async_context(listening(room, stream, stream.keyring))
            yield


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = Host(tmp_path)
    replace_credential(made.path, Keyring.create(b"m" * 32).dumps())
    made.control = made.keyring
    return made


def generations(host: Host) -> set[int]:
    """Of the keys in use."""
    keys = [stream.content_key for stream in host.streams.values()]
    return {int(key[0].partition("-")[0]) for key in keys if key is not None}


async def test_a_rotation_reaches_every_part(host: Host) -> None:
    async with host.running("a", "b"):
        await asyncio.to_thread(host.master().rotate)
        assert (host.keyring.current, host.keyring.next) == (2, None)
        assert host.keyring.generations[1].retired is not None
        assert host.control is not None
        assert set(host.control.generations) == {1, 2}
        assert generations(host) == {2}
        host.playable()
        assert host.keyring.generations[1].master == b"m" * 32
        assert not any(host.keyring.generations[2].master.hex() in line for line in host.said)
        await asyncio.to_thread(host.master().rotate)
        assert host.keyring.current == 3
        assert generations(host) == {3}


async def test_the_control_service_has_a_generation_before_any_stream_may_use_it(host: Host) -> None:
    seen: list[tuple[int, int | None]] = []
    restart = host.restart

    def watched() -> None:
        # a unit that started now would begin with this
        seen.append((host.keyring.current, host.keyring.next))
        restart()

    async with host.running("a"):
        master = MasterKey(host.path, host.client(), restart=watched, say=host.said.append)
        await asyncio.to_thread(master.rotate)
    assert seen == [(1, 2)]


async def test_a_control_service_that_does_not_start_leaves_all_as_it_was(host: Host) -> None:
    async with host.running("a"):
        host.control_fails = True
        with pytest.raises(OperatorError, match="it did not start"):
            await asyncio.to_thread(host.master().rotate)
        assert generations(host) == {1}
        assert (host.keyring.current, host.keyring.next) == (1, 2)
        host.playable()
        # a unit that starts meanwhile has a key that the service knows
        assert host.keyring.new_key_id().startswith("1-")

        host.control_fails = False
        waiting = host.keyring.generations[2]
        await asyncio.to_thread(host.master().rotate)
        assert host.keyring.current == 2
        assert set(host.keyring.generations) == {1, 2}
        assert host.keyring.generations[2] == waiting
        assert generations(host) == {2}


async def test_a_stream_that_does_not_answer_is_named_and_served_the_next_time(host: Host) -> None:
    host.hung = {"b"}
    async with host.running("a", "b"):
        with pytest.raises(OperatorError, match="stream b has no socket") as caught:
            await asyncio.to_thread(host.master().rotate)
        assert caught.value.exit_code == EX_UNAVAILABLE
        assert "--finish" in str(caught.value)
        host.playable()
        assert generations(host) == {1, 2}
        with pytest.raises(OperatorError, match="stream b has no socket"):
            await asyncio.to_thread(host.master().finish)
        b = host.streams["b"]
        async with listening(host.room("b"), b, b.keyring):
            await asyncio.to_thread(host.master().rotate)
        assert set(host.keyring.generations) == {1, 2}
        assert generations(host) == {2}
        assert any("no new one is made" in line for line in host.said)


async def test_finishing_does_nothing_when_nothing_is_unfinished(host: Host) -> None:
    async with host.running("a"):
        before = host.path.stat()
        host.control_fails = True  # it is not even asked
        await asyncio.to_thread(host.master().finish)
        assert host.path.stat() == before
        host.control_fails = False
        given = host.keyring.with_given(b"g" * 16)
        assert given is not None
        replace_credential(host.path, given.dumps())
        await asyncio.to_thread(host.master().finish)
        assert host.keyring.generations[host.keyring.current].master == b"g" * 16
        assert generations(host) == {2}


async def test_without_encryption_streams_are_left_alone(host: Host) -> None:
    async with host.running("a"), listening(host.room("plain"), Stream(host.keyring), None):
        host.streams["plain"] = Stream(host.keyring, ("1-" + "0" * 32, 0.0))
        await asyncio.to_thread(host.master().rotate)
        assert host.keyring.current == 2
        assert not any("plain" in line for line in host.said)


def purge(host: Host, **options: object) -> tuple[list[int], dict[int, str]]:
    named = {name: [stream.content_key[0]] for name, stream in host.streams.items() if stream.content_key}
    options = {"named": named, "longest_need": 600.0, **options}
    gone, kept = host.master().purge(**options)  # type: ignore[arg-type]  # a test's own defaults
    return gone, {item.number: item.reason for item in kept}


def age(host: Host, number: int, seconds: float) -> None:
    """Generation `number` was retired so long ago."""
    keyring = host.keyring
    item = replace(keyring.generations[number], retired=datetime.now(UTC) - timedelta(seconds=seconds))
    changed = replace(keyring, generations={**keyring.generations, number: item})
    replace_credential(host.path, changed.dumps())


async def test_what_nothing_needs_is_forgotten_everywhere(host: Host) -> None:
    async with host.running("a"):
        for _ in range(2):
            await asyncio.to_thread(host.master().rotate)
        age(host, 1, 601)
        gone, kept = await asyncio.to_thread(purge, host)
        assert gone == [1]
        assert set(kept) == {2, 3}
        assert kept[3] == "is the current one"
        assert "may be needed until" in kept[2]
        for keyring in (host.keyring, host.control, host.streams["a"].keyring):
            assert keyring is not None
            assert set(keyring.generations) == {2, 3}
        host.playable()
        assert await asyncio.to_thread(purge, host) == ([], kept)


async def test_what_can_still_be_played_keeps_its_generation(host: Host) -> None:
    kid = host.keyring.new_key_id()
    await asyncio.to_thread(host.master().rotate)
    age(host, 1, 10_000)
    gone, kept = purge(host, named={"old": [kid]})
    assert gone == []
    assert kept[1] == "is needed by what can be played of old"
    assert purge(host, named={})[0] == [1]


@pytest.mark.parametrize(
    ("number", "reason"),
    [(2, "is the current one"), (9, "is not in the keyring"), (1, "may be needed until")],
)
async def test_a_generation_that_has_to_stay_is_refused(host: Host, number: int, reason: str) -> None:
    await asyncio.to_thread(host.master().rotate)
    before = host.path.read_text()
    with pytest.raises(OperatorError, match=rf"generation {number} {reason}"):
        purge(host, only=[number])
    assert host.path.read_text() == before


async def test_nothing_goes_without_consent(host: Host) -> None:
    await asyncio.to_thread(host.master().rotate)
    age(host, 1, 10_000)
    before = host.path.read_text()
    host.control_fails = True
    assert purge(host, agree=lambda going: going != [1])[0] == [1]
    assert host.path.read_text() == before


def test_no_number_is_given_twice() -> None:
    """An earlier HLS_ENCRYPTION_KEY is current again, and the newest generation would be the one to go."""
    keyring = Keyring.create(b"k" * 32).with_next().promoted()
    back = keyring.with_given(b"k" * 32)
    assert back is None  # it was the one given last
    other = keyring.with_given(b"o" * 32)
    assert other is not None
    again = other.promoted().with_given(b"k" * 32)
    assert again is not None
    assert again.next == 1
    current = again.promoted()
    assert current.current == 1
    assert current.generations[1].retired is None
    assert max(current.generations) == 3
    with pytest.raises(ValueError, match="generation 3"):
        current.without([3])
    assert set(current.without([2]).generations) == {1, 3}
