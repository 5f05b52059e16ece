"""The deliverer's own decisions: pauses, dead letters, who goes on; the store is one in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from appliance.control.backend import deliver
from appliance.control.backend.client import BackendClient
from appliance.control.backend.deliver import Deliverer
from appliance.secrets.webhook_secret import parse_webhook_secret
from appliance.settings import Settings
from appliance.state.events import Entry, Event
from appliance.state.valkey import StateUnavailableError
from tests.support.stub_backend import Request, StubBackend, answer

SETTINGS = Settings(event_attempts=3, event_retry_seconds=0.05, callback_seconds=0.5)


class Store:
    """Events in memory, as `appliance.state.events.Events` has them in Valkey."""

    def __init__(self, *entries: Entry) -> None:
        self.unread = list(entries)
        self.pending: dict[str, Entry] = {}
        self.log: list[tuple[str, str]] = []
        self.changed = asyncio.Condition()
        self.leader = True
        self.failures: list[Exception] = []

    async def lead(self, *_: object) -> bool:
        if self.failures:
            raise self.failures.pop()
        return self.leader

    async def left_over(self, _: str) -> tuple[list[Entry], int]:
        await self._note("takeover", "")
        return list(self.pending.values()), 0

    async def read(self, _: str) -> list[Entry]:
        await asyncio.sleep(0.01)
        read, self.unread = self.unread, []
        self.pending.update({entry.position: entry for entry in read})
        return read

    async def settle(self, entry: Entry) -> None:
        if self.failures:
            raise self.failures.pop()
        del self.pending[entry.position]
        await self._note("settled", entry.position)

    async def note_attempt(self, _: str, entry: Entry, attempt: int) -> None:
        await self._note(f"attempt {attempt}", entry.position)

    async def bury(self, entry: Entry, *, attempts: int, reason: str) -> None:
        del self.pending[entry.position]
        await self._note(f"buried after {attempts}: {reason}", entry.position)

    async def resign(self, _: str) -> None:
        await self._note("resigned", "")

    async def until(self, *wanted: tuple[str, str]) -> None:
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(lambda: set(wanted) <= set(self.log))

    async def _note(self, what: str, position: str) -> None:
        async with self.changed:
            self.log.append((what, position))
            self.changed.notify_all()


def entry(position: str, stream: str = "demo", attempt: int = 1) -> Entry:
    return Entry(position, Event(f"evt_{position}", "publish.started", stream, "{}"), attempt)


@pytest.fixture
async def backend() -> AsyncIterator[StubBackend]:
    async with StubBackend().listening() as stub:
        yield stub


@contextlib.asynccontextmanager
async def delivering(store: Store, backend: StubBackend) -> AsyncIterator[None]:
    client = BackendClient(backend.url, lambda: [parse_webhook_secret("a-secret-of-the-customer")])
    task = asyncio.create_task(Deliverer(cast("Any", store), client, SETTINGS, "here").run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await client.close()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver, "_WAIT_SECONDS", 0.01)


def refusing(*streams: str) -> Callable[..., bytes]:
    """A backend that refuses the events whose identity ends so."""
    return lambda request: answer(500 if request.headers["webhook-id"].endswith(streams) else 200)


async def test_after_its_last_attempt_an_event_is_a_dead_letter_and_its_stream_goes_on(
    backend: StubBackend,
) -> None:
    backend.choose = refusing("1")
    store = Store(entry("1"), entry("2"))
    async with delivering(store, backend):
        await store.until(("settled", "2"))
    assert store.log == [
        ("takeover", ""),
        ("attempt 2", "1"),
        ("attempt 3", "1"),
        ("attempt 4", "1"),
        ("buried after 3: the backend answered 500", "1"),
        ("settled", "2"),
        ("resigned", ""),
    ]
    assert [request.headers["webhook-id"] for request in backend.requests] == ["evt_1"] * 3 + ["evt_2"]


async def test_other_streams_do_not_wait(backend: StubBackend) -> None:
    backend.replies = [answer(200)]
    backend.choose = lambda request: None if request.headers["webhook-id"] == "evt_1" else answer(200)
    store = Store(entry("1"), *(entry(str(number), f"s{number}") for number in range(2, 6)))
    async with delivering(store, backend):
        await store.until(*(("settled", str(number)) for number in range(2, 6)))
    assert list(store.pending) == ["1"]


async def test_no_more_is_held_than_valkey_keeps(
    backend: StubBackend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A backend that takes no events, as one that only answers questions, is told of them for hours."""
    monkeypatch.setattr(deliver, "MAX_EVENTS", 10)
    backend.replies = [None]
    store = Store(entry("other", "s2"), *(entry(str(number)) for number in range(1, 31)))
    async with delivering(store, backend):
        await store.until(*(("settled", str(number)) for number in range(2, 23)))
    assert sorted(store.pending) == sorted(["other", "1", *map(str, range(23, 31))])
    noted = [getattr(line, "fields", {}) for line in caplog.records]
    [lost] = [fields for fields in noted if fields.get("action") == "lost"]
    assert lost["count"] == 21


async def test_what_was_attempted_often_enough_is_not_attempted_again(backend: StubBackend) -> None:
    store = Store()
    store.pending["1"] = entry("1", attempt=4)
    async with delivering(store, backend):
        await store.until(("buried after 3: every attempt ended with the process that made it", "1"))
    assert backend.requests == []


@pytest.mark.parametrize("failure", [StateUnavailableError("away"), ValueError("a bug")])
async def test_no_failure_ends_the_deliveries(backend: StubBackend, failure: Exception) -> None:
    store = Store()
    async with delivering(store, backend):
        await store.until(("takeover", ""))
        store.failures = [failure]
        store.unread = [entry("1")]
        await store.until(("settled", "1"))
        # The one whose settling fails is taken over and told again.
        told: list[str] = []

        def choose(request: Request) -> bytes:
            told.append(request.headers["webhook-id"])
            if len(told) == 1:
                store.failures = [failure]
            return answer(200)

        backend.choose = choose
        store.unread = [entry("2")]
        await store.until(("settled", "2"))
    assert store.pending == {}
    assert store.log.count(("takeover", "")) >= 2
    assert set(told) == {"evt_2"}


async def test_another_leader_is_left_alone(backend: StubBackend) -> None:
    store = Store(entry("1"))
    store.leader = False
    async with delivering(store, backend):
        await asyncio.sleep(0.1)
        assert (store.unread, backend.requests) == ([entry("1")], [])
        store.leader = True
        await store.until(("settled", "1"))


def test_pauses_double_up_to_a_minute() -> None:
    deliverer = Deliverer(cast("Any", None), cast("Any", None), Settings(), "here")
    longest = [max(deliverer._pause(attempt) for _ in range(200)) for attempt in range(2, 12)]
    for seen, expected in zip(longest, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60], strict=True):
        assert 0.5 * expected <= seen <= expected
    assert deliverer._pause(100_000) <= 60
