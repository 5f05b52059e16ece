"""Questions about viewers: how many there are of them, and whom a crowd holds up."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, cast

import pytest

from appliance.control.backend.decisions import Verdict
from appliance.control.backend.grant import Grant
from appliance.control.backend.view_judge import ViewJudge
from appliance.control.refusal import RefusedError
from appliance.control.view.tokens import TokenRefusedError
from appliance.control.view.viewer import Asked, Viewer
from appliance.names import StreamName
from tests.support.clock import Clock

if TYPE_CHECKING:
    from appliance.control.backend.decisions import Question

DEMO = StreamName("demo")


class Backend:
    """Answers `status` once `answers` is set."""

    def __init__(self) -> None:
        self.asked: list[Question] = []
        self.answers = asyncio.Event()
        self.verdict = Verdict(200, "backend", "yes")
        self.changed = asyncio.Condition()

    async def put(self, question: Question, *, seconds: float) -> Verdict:
        """As the decisions'."""
        assert seconds > 0
        async with self.changed:
            self.asked.append(question)
            self.changed.notify_all()
        await self.answers.wait()
        return self.verdict

    async def until(self, number: int) -> None:
        """Waits for so many questions."""
        async with asyncio.timeout(5), self.changed:
            await self.changed.wait_for(lambda: len(self.asked) >= number)


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def judge(backend: Backend, clock: Clock) -> ViewJudge:
    return ViewJudge(cast("Any", backend), 15, clock=clock)


async def ask(
    judge: ViewJudge,
    address: str = "192.0.2.7",
    token: str = "a.b.c",  # noqa: S107
    referrer: str = "",
    entitlement: str | None = None,
) -> None:
    asked = Asked(stream=DEMO, address=address, token=token, referrer=referrer)
    await judge.judge(asked, Viewer.unnamed(asked, "backend"), entitlement)


async def test_a_session_is_asked_about_once_while_a_yes_holds(
    judge: ViewJudge, backend: Backend, clock: Clock
) -> None:
    crowd = [asyncio.create_task(ask(judge)) for _ in range(1000)]
    await backend.until(1)
    backend.answers.set()
    await asyncio.gather(*crowd)
    clock.now += 14.9
    await ask(judge)
    assert len(backend.asked) == 1
    clock.now += 0.2
    await ask(judge)
    assert len(backend.asked) == 2


async def test_who_makes_up_tokens_holds_up_nobody_else(judge: ViewJudge, backend: Backend) -> None:
    crowd = [asyncio.create_task(ask(judge, token=f"a.b.{number}")) for number in range(200)]
    await backend.until(4)
    other = asyncio.create_task(ask(judge, "192.0.2.8"))
    await backend.until(5)
    assert [question.fields["addr"] for question in backend.asked] == ["192.0.2.7"] * 4 + ["192.0.2.8"]
    backend.answers.set()
    await asyncio.gather(other, *crowd)
    assert len(backend.asked) == 201


async def test_the_addresses_of_one_ipv6_network_hold_up_each_other_alone(
    judge: ViewJudge, backend: Backend
) -> None:
    crowd = [asyncio.create_task(ask(judge, f"2001:db8:1:2::{number:x}")) for number in range(50)]
    await backend.until(4)
    other = asyncio.create_task(ask(judge, "2001:db8:1:3::1"))
    await backend.until(5)
    networks = [question.fields["addr"].partition("::")[0] for question in backend.asked]
    assert networks == ["2001:db8:1:2"] * 4 + ["2001:db8:1:3"]
    backend.answers.set()
    await asyncio.gather(other, *crowd)


async def test_one_who_hangs_up_ends_the_question_for_nobody_else(judge: ViewJudge, backend: Backend) -> None:
    first, second = (asyncio.create_task(ask(judge)) for _ in range(2))
    await backend.until(1)
    first.cancel()
    backend.answers.set()
    await second
    assert len(backend.asked) == 1


async def test_what_was_allowed_for_a_time_is_over_then_whoever_says_so(
    judge: ViewJudge, backend: Backend
) -> None:
    backend.verdict = Verdict(200, "last-known", "its last verdict", Grant(expires=time.time() - 1))
    backend.answers.set()
    with pytest.raises(TokenRefusedError) as refused:
        await ask(judge)
    assert refused.value.status == 402


async def test_an_answer_is_about_a_page_and_an_entitlement_also_when_it_is_repeated(
    judge: ViewJudge, backend: Backend, clock: Clock
) -> None:
    """What is kept for the time of silence is found by the subject."""
    backend.answers.set()
    for _ in range(2):
        await ask(judge)
        await ask(judge, referrer="https://site.example/watch")
        await ask(judge, entitlement="season")
        clock.now += 60
    subjects = [question.subject for question in backend.asked]
    assert subjects[:3] == subjects[3:]
    assert len(set(subjects)) == 3


async def test_silence_is_no_refusal(judge: ViewJudge, backend: Backend, clock: Clock) -> None:
    backend.verdict = Verdict(503, "silent", "the backend is silent")
    backend.answers.set()
    for _ in range(2):
        with pytest.raises(RefusedError) as refused:
            await ask(judge)
        assert refused.value.status == 503
    assert len(backend.asked) == 1
    clock.now += 2
    backend.verdict = Verdict(200, "backend", "yes")
    await ask(judge)
