"""What becomes of a backend's answers, and of its silence."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl

import pytest

from appliance.control.backend.breaker import IN_A_ROW, State
from appliance.control.backend.client import BackendClient
from appliance.control.backend.decisions import Decisions, Question
from appliance.control.callback import Callback
from appliance.names import StreamName
from appliance.secrets.webhook_secret import parse_webhook_secret
from appliance.settings import Settings
from appliance.state.valkey import StateUnavailableError
from tests.support.stub_backend import StubBackend, answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    Made = Callable[..., tuple[Decisions, "Memory"]]

SECRET = parse_webhook_secret("a-secret-of-the-customer")
DEMO = StreamName("demo")
CALLBACK = Callback("live", "demo", "192.0.2.7", "12", {"key": "stream-key", "reader": "reader-secret"})
FIELDS = {"call": "publish", "app": "live", "name": "demo", "addr": "192.0.2.7", "clientid": "12"}


class Memory:
    """Verdicts that are remembered without a Valkey; `away` is one that does not answer."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, ...], tuple[int, str]] = {}
        self.away = False

    async def remember(self, kind: str, stream: str, who: str, status: int, said: str = "") -> None:
        if self.away:
            raise StateUnavailableError("away")
        self.known[kind, stream, who] = status, said

    async def recall(self, *key: str) -> tuple[int, str] | None:
        if self.away:
            raise StateUnavailableError("away")
        return self.known.get(key)


@pytest.fixture
async def backend() -> AsyncIterator[StubBackend]:
    async with StubBackend().listening() as stub:
        yield stub


@pytest.fixture
async def made(backend: StubBackend) -> AsyncIterator[Callable[..., tuple[Decisions, Memory]]]:
    clients = []

    def make(**values: Any) -> tuple[Decisions, Memory]:
        memory = Memory()
        clients.append(BackendClient(backend.url, lambda: [SECRET]))
        settings = Settings(callback_seconds=0.3, **values)
        return Decisions(clients[-1], cast("Any", memory), settings), memory

    yield make
    for client in clients:
        await client.close()


@pytest.mark.parametrize(
    ("answered", "status"),
    [(200, 200), (201, 200), (204, 200), (401, 401), (402, 402), (403, 403), (404, 403), (409, 409)],
)
async def test_the_backends_word(backend: StubBackend, made: Made, answered: int, status: int) -> None:
    backend.replies = [answer(answered, b"")]
    decisions, _ = made()
    verdict = await decisions.ask("publish", DEMO, CALLBACK, seconds=5)
    assert (verdict.status, verdict.allowed, verdict.source) == (status, status == 200, "backend")
    assert backend.paths == ["/auth/publish"]
    assert decisions.state is State.CLOSED


@pytest.mark.parametrize("form", ["form", "json"])
async def test_what_the_backend_is_sent(backend: StubBackend, made: Made, form: str) -> None:
    await made(callback_form=form)[0].ask("publish", DEMO, CALLBACK, seconds=5)
    [request] = backend.requests
    text = request.body.decode()
    assert (dict(parse_qsl(text)) if form == "form" else json.loads(text)) == FIELDS
    expected = {"form": "application/x-www-form-urlencoded", "json": "application/json"}[form]
    assert request.headers["content-type"] == expected
    for secret in ("stream-key", "reader-secret"):
        assert secret not in str(request)


@pytest.mark.parametrize(
    "fault",
    [
        answer(500),
        answer(302, b"", "Location: /yes"),
        answer(400),
        answer(429),
        b"nonsense\r\n\r\n",
        b"",
        None,
    ],
)
async def test_a_fault_is_asked_again_and_then_refused(
    backend: StubBackend, made: Made, fault: bytes | None
) -> None:
    backend.replies = [fault]
    verdict = await made()[0].ask("publish", DEMO, CALLBACK, seconds=5)
    assert (verdict.status, verdict.source) == (503, "silent")
    assert "the backend is silent: " in verdict.reason
    assert len(backend.requests) == 2
    # The same question: a backend that counts must know it again.
    assert len({request.headers["webhook-id"] for request in backend.requests}) == 1


async def test_the_second_attempt_counts(backend: StubBackend, made: Made) -> None:
    backend.replies = [None, answer(200)]
    verdict = await made()[0].ask("publish", DEMO, CALLBACK, seconds=5)
    assert (verdict.status, verdict.source) == (200, "backend")


async def test_all_attempts_together_end_in_time(backend: StubBackend, made: Made) -> None:
    backend.replies = [None]
    clock = asyncio.get_running_loop().time
    began = clock()
    decisions, _ = made(callback_attempts=10)
    assert (await decisions.ask("publish", DEMO, CALLBACK, seconds=0.5)).status == 503
    assert clock() - began < 1.5
    assert (await decisions.ask("publish", DEMO, CALLBACK, seconds=-1)).status == 503


async def test_a_backend_that_fails_on_and_on_is_left_alone(backend: StubBackend, made: Made) -> None:
    backend.replies = [answer(500)]
    decisions, _ = made()
    for _ in range(10):
        assert (await decisions.ask("publish", DEMO, CALLBACK, seconds=5)).status == 503
    assert len(backend.requests) == IN_A_ROW
    assert decisions.state is State.OPEN


def question_of_a_viewer() -> Question:
    return Question("view", DEMO, {"token": "what a backend cannot take"}, None)


async def test_viewers_cannot_keep_publishers_from_the_backend(backend: StubBackend, made: Made) -> None:
    """Anybody may show a token that a backend falls over."""
    backend.choose = lambda request: answer(500 if request.path == "/auth/play" else 200)
    decisions, _ = made()
    for _ in range(IN_A_ROW):
        assert (await decisions.put(question_of_a_viewer(), seconds=5)).status == 503
    assert decisions.state is State.OPEN
    assert (await decisions.ask("publish", DEMO, CALLBACK, seconds=5)).allowed


async def test_a_question_that_is_refused_as_such_is_no_failure(backend: StubBackend, made: Made) -> None:
    """The backend is there; 429 and 408 say that it is not, at the moment."""
    decisions, _ = made(callback_attempts=1)
    for status, state in ((422, State.CLOSED), (429, State.OPEN)):
        backend.replies = [answer(status)]
        for _ in range(IN_A_ROW):
            assert (await decisions.put(question_of_a_viewer(), seconds=5)).status == 503
        assert decisions.state is state


class TestLastKnown:
    """`callback_when_silent: last-known`."""

    @pytest.mark.parametrize("answered", [200, 403, 402])
    async def test_the_last_verdict_holds(self, backend: StubBackend, made: Made, answered: int) -> None:
        decisions, _ = made(callback_when_silent="last-known")
        backend.replies = [answer(answered), answer(500)]
        for source in ("backend", "last-known"):
            verdict = await decisions.ask("publish", DEMO, CALLBACK, seconds=5)
            assert (verdict.status, verdict.source) == (answered, source)

    async def test_nothing_known_is_refused(self, backend: StubBackend, made: Made) -> None:
        decisions, memory = made(callback_when_silent="last-known")
        backend.replies = [answer(200), answer(500)]
        await decisions.ask("publish", DEMO, CALLBACK, seconds=5)
        assert (await decisions.ask("publish", StreamName("other"), CALLBACK, seconds=5)).status == 503
        assert (await decisions.ask("play", DEMO, CALLBACK, seconds=5)).status == 503
        memory.away = True
        refused = await decisions.ask("publish", DEMO, CALLBACK, seconds=5)
        assert (refused.status, "away" in refused.reason) == (503, True)

    async def test_one_viewers_verdict_is_no_other_viewers(self, backend: StubBackend, made: Made) -> None:
        decisions, _ = made(callback_when_silent="last-known", callback_attempts=1)
        backend.replies = [answer(200), answer(500)]
        assert (await decisions.ask("play", DEMO, CALLBACK, seconds=5)).allowed
        other = Callback("live", "demo", "192.0.2.8", "13", {})
        assert (await decisions.ask("play", DEMO, other, seconds=5)).status == 503
        assert (await decisions.ask("play", DEMO, CALLBACK, seconds=5)).source == "last-known"
        nobody = Callback("live", "demo", "unix:", "14", {})
        assert (await decisions.ask("play", DEMO, nobody, seconds=5)).status == 503

    async def test_otherwise_nothing_is_remembered(self, made: Made) -> None:
        decisions, memory = made()
        await decisions.ask("publish", DEMO, CALLBACK, seconds=5)
        assert memory.known == {}
