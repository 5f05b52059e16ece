"""`/auth/view` without neighbours: verdicts, what is logged of them, and what is not."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from appliance.control.view.tokens import ViewToken, issue
from appliance.names import StreamName
from appliance.state.registry import RegisteredStream
from appliance.state.valkey import StateUnavailableError

if TYPE_CHECKING:
    from appliance.control.context import Control

    from ..conftest import Registered

Ask = Callable[..., Awaitable[httpx.Response]]
TOKENS = pytest.mark.parametrize("settings", [{"view_policy": "token"}])
PAID = pytest.mark.parametrize("settings", [{"view_policy": "token", "view_needs_entitlement": True}])
LIMITED = pytest.mark.parametrize("settings", [{"view_policy": "token", "view_sessions_per_viewer": 1}])


@pytest.fixture
def ask(http: httpx.AsyncClient) -> Ask:
    async def asked(token: str = "", stream: str = "demo", address: str = "192.0.2.7") -> httpx.Response:
        headers = {"X-Stream": stream, "X-View-Token": token, "X-Real-IP": address}
        return await http.get("/auth/view", headers=headers)

    return asked


def token(control: Control, *, stream: str = "demo", seconds: float = 60, **claims: Any) -> str:
    now = time.time()
    return issue(control.token_keys(), ViewToken(stream=stream, expires=now + seconds, **claims), now=now)


def logged(caplog: pytest.LogCaptureFixture, event: str = "view") -> list[dict[str, Any]]:
    found = (line for line in caplog.records if line.getMessage() == event)
    return [{"level": line.levelno, **vars(line)["fields"]} for line in found]


async def test_what_is_open_is_open_to_all(ask: Ask) -> None:
    for given in ("", "x", "a.b.c"):
        answer = await ask(given)
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["cache-control"] == "no-store"


@TOKENS
async def test_a_token_lets_in_where_it_is_for(ask: Ask, control: Control) -> None:
    assert (await ask(token(control))).status_code == 204
    assert (await ask(token(control), stream="other")).status_code == 403
    assert (await ask(token(control, stream="*"), stream="other")).status_code == 204


@TOKENS
@pytest.mark.parametrize("given", ["", "x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."])
async def test_without_one_of_ours_the_answer_is_401(ask: Ask, given: str) -> None:
    answer = await ask(given)
    assert (answer.status_code, answer.json()) == (401, {"detail": "A valid view token is needed"})
    assert answer.headers["www-authenticate"] == 'Bearer realm="view"'


@TOKENS
async def test_the_longest_life_is_a_setting(ask: Ask, control: Control) -> None:
    assert (await ask(token(control, seconds=86_400))).status_code == 204
    assert (await ask(token(control, seconds=86_500))).status_code == 401


@PAID
async def test_what_is_to_be_paid_is_402_without(ask: Ask, control: Control) -> None:
    now = time.time()
    assert (await ask(token(control, entitlement="match", paid_until=now + 60))).status_code == 204
    for given in (token(control), token(control, entitlement="match", paid_until=now - 1)):
        answer = await ask(given)
        assert (answer.status_code, answer.json()) == (402, {"detail": "Payment required"})
    assert (await ask("")).status_code == 401


@TOKENS
@pytest.mark.parametrize("stream", ["", "-demo", "a.b", "../x", "a" * 65])
async def test_a_name_that_is_none_is_refused(ask: Ask, control: Control, stream: str) -> None:
    assert (await ask(token(control, stream="*"), stream=stream)).status_code == 403


def register(registered: Registered, name: str, **said: Any) -> None:
    stream = StreamName(name)
    registered.streams[stream] = RegisteredStream(name=stream, created_at="", **said)


async def test_each_stream_may_have_a_policy_of_its_own(ask: Ask, registered: Registered) -> None:
    register(registered, "private", view="token")
    register(registered, "public", view="open")
    register(registered, "as-set")
    for stream, status in (("public", 204), ("private", 401), ("as-set", 204), ("unknown", 204)):
        assert (await ask(stream=stream)).status_code == status


@TOKENS
async def test_a_stream_may_be_open_where_others_are_not(ask: Ask, registered: Registered) -> None:
    register(registered, "public", view="open")
    assert (await ask(stream="public")).status_code == 204
    assert (await ask()).status_code == 401


async def test_a_stream_wants_its_own_entitlement(ask: Ask, control: Control, registered: Registered) -> None:
    """Also where it says nothing of tokens, and streams are open otherwise."""
    register(registered, "match", entitlement="season")
    for entitlement, status in ((None, 402), ("other", 402), ("season", 204)):
        given = token(control, stream="match", entitlement=entitlement)
        assert (await ask(given, stream="match")).status_code == status
    assert (await ask(stream="match")).status_code == 401
    assert (await ask(token(control, stream="*"), stream="match")).status_code == 402


async def test_what_cannot_be_read_is_closed(
    ask: Ask, control: Control, registered: Registered, caplog: pytest.LogCaptureFixture
) -> None:
    registered.streams[StreamName("odd")] = StateUnavailableError("Valkey: odd is no record of this program")
    with caplog.at_level(logging.INFO, logger="appliance"):
        assert (await ask(token(control, stream="odd"), stream="odd")).status_code == 503
    assert logged(caplog)[-1]["reason"] == "Valkey: odd is no record of this program"
    assert (await ask(stream="other")).status_code == 204


async def test_where_nothing_is_known_a_token_for_the_very_stream_lets_in(
    ask: Ask, control: Control, registered: Registered, caplog: pytest.LogCaptureFixture
) -> None:
    registered.trouble = StateUnavailableError("Valkey: away")
    assert (await ask(token(control))).status_code == 204
    for given in ("", "a.b.c", token(control, stream="*")):
        with caplog.at_level(logging.INFO, logger="appliance"):
            assert (await ask(given)).status_code == 503
        assert "Valkey is silent" in logged(caplog)[-1]["reason"]
    assert (await ask(token(control, stream="other"))).status_code == 403


@TOKENS
async def test_where_nothing_is_known_but_the_hosts_policy_a_token_is_asked_for(
    ask: Ask, registered: Registered
) -> None:
    registered.trouble = StateUnavailableError("Valkey: away")
    assert (await ask()).status_code == 401


@pytest.mark.parametrize("settings", [{"delivery_view_auth": True}])
async def test_without_a_backend_its_viewers_are_refused(ask: Ask, registered: Registered) -> None:
    register(registered, "match", view="backend")
    assert (await ask("a.b.c", stream="match")).status_code == 503


@TOKENS
async def test_a_rotation_turns_nobody_away(ask: Ask, control: Control) -> None:
    before = token(control)
    control.secrets.take_over("view-token-keys", control.token_keys().rotated(timedelta(hours=1)))
    assert (await ask(before)).status_code == 204
    after = token(control)
    assert after.partition(".")[0] != before.partition(".")[0]
    assert (await ask(after)).status_code == 204


@LIMITED
async def test_without_the_state_a_signed_token_lets_in_and_it_is_said_once(
    ask: Ask, control: Control, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="appliance"):
        for number in range(5):
            assert (await ask(token(control, viewer="anna", session=str(number)))).status_code == 204
        assert (await ask("")).status_code == 401
    [said] = logged(caplog, "view_sessions")
    assert (said["level"], said["action"]) == (logging.WARNING, "waiting")
    assert "nobody.sock" in said["reason"]


@TOKENS
async def test_the_log_has_every_refusal_and_each_viewer_once(
    ask: Ask, control: Control, caplog: pytest.LogCaptureFixture
) -> None:
    good, late = token(control, viewer="anna\n"), token(control, stream="other")
    with caplog.at_level(logging.INFO, logger="appliance"):
        for given in (good, good, late, late):
            await ask(given)
        await ask(good, address="192.0.2.8")
    lines = logged(caplog)
    assert [line["verdict"] for line in lines] == ["allowed", "refused", "refused", "allowed"]
    assert lines[0] == {
        "level": logging.INFO,
        "verdict": "allowed",
        "status": 204,
        "viewer": "'anna\\n'",
        "stream": "demo",
        "client_ip": "192.0.2.7",
    }
    assert lines[1]["reason"] == "the token is for other"
    text = json.dumps([vars(line).get("fields") for line in caplog.records])
    assert good not in text
    assert late.rpartition(".")[2] not in text


@TOKENS
async def test_only_get_is_answered(http: httpx.AsyncClient) -> None:
    assert (await http.post("/auth/view")).status_code == 405
