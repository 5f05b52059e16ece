"""How each stream may be watched, the backend's word about viewers, and who watches: with the real Valkey."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest

from tests.integration.control.conftest import eventually
from tests.integration.control.watching import Watcher, token
from tests.support.stub_backend import StubBackend, answer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.control.conftest import Site

BACKENDS_OWN = "a.b.c"
DELIVERY_DOES_NOT_ASK = pytest.mark.parametrize("asks", [False])


@pytest.fixture
def asks() -> bool:
    """Whether delivery asks about viewers."""
    return True


@pytest.fixture
def extra() -> dict[str, Any]:
    """More settings."""
    return {}


@pytest.fixture
def settings(
    settings: dict[str, Any], backend: StubBackend, asks: bool, extra: dict[str, Any]
) -> dict[str, Any]:
    return {
        **settings,
        "delivery_view_auth": asks,
        "http_callback_url": backend.url,
        "callback_seconds": 3,  # the stub answers from the loop that a hundred viewers share
        "callback_view_seconds": 1,
        **extra,
    }


@pytest.fixture
def watcher(site: Site) -> Watcher:
    return Watcher(site=site, stream="match", token=BACKENDS_OWN)


async def register(site: Site, name: str, **said: Any) -> None:
    answered = await site.api("PUT", f"streams/{name}", said)
    assert answered.status_code in {200, 201}, answered.text


def questions(backend: StubBackend) -> int:
    """How many it was asked; an attempt that is made again is none."""
    return len({request.headers["webhook-id"] for request in backend.requests})


def said_yes(**said: Any) -> bytes:
    return answer(200, json.dumps(said).encode())


async def test_a_stream_says_who_may_watch_it(site: Site, tmp_path: Path) -> None:
    await register(site, "free")
    await register(site, "paid", view="token", entitlement="season")
    shown = (await site.api("GET", "streams/paid")).json()
    assert (shown["view"], shown["entitlement"]) == ("token", "season")
    watcher = Watcher(site=site, stream="paid")
    assert await watcher.ask(stream="free") == 204
    assert await watcher.ask() == 401
    assert await watcher.ask(token=token(tmp_path, "paid")) == 402
    assert await watcher.ask(token=token(tmp_path, "paid", entitlement="season")) == 204
    assert await watcher.ask(token=token(tmp_path, "other", entitlement="season")) == 403
    assert await watcher.ask(token=token(tmp_path, "paid", entitlement="season", seconds=-1)) == 401
    # while it is watched, a change is noticed at once
    await register(site, "paid", view="open")
    await eventually(lambda: _answers(watcher, 204), 3)
    await register(site, "paid", view="token")
    await eventually(lambda: _answers(watcher, 401), 3)


async def _answers(watcher: Watcher, status: int, **changes: str) -> bool:
    return await watcher.ask(**changes) == status


async def test_a_policy_that_is_none_of_ours_closes_the_stream(site: Site, tmp_path: Path) -> None:
    await register(site, "match", view="token")
    async with site.valkey_client() as valkey:
        document = json.loads(str(await valkey.get("appliance:stream:match")))
        await valkey.set("appliance:stream:match", json.dumps({**document, "view": "friends"}))
    watcher = Watcher(site=site, stream="match", token=token(tmp_path, "match"))
    assert await watcher.ask() == 503
    assert "DEL appliance:stream:match removes it" in site.control.events("view")[-1]["reason"]
    assert await watcher.ask(stream="demo") == 204


@pytest.mark.parametrize("extra", [{"rtmp_play": True}])
async def test_rtmp_is_no_way_around_a_policy(site: Site, backend: StubBackend) -> None:
    for policy in ("open", "token", "backend"):
        await register(site, policy, view=policy)
    await register(site, "paid", view="backend", entitlement="season")
    names = ("open", "token", "backend", "paid")
    answered = {name: (await site.ask("play", name)).status_code for name in names}
    assert answered == {"open": 200, "token": 403, "backend": 200, "paid": 403}
    backend.replies = [answer(402)]
    assert (await site.ask("play", "backend")).status_code == 402


@DELIVERY_DOES_NOT_ASK
async def test_what_delivery_would_not_keep_to_is_refused(site: Site) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"view": "token"}, "set delivery_view_auth: true"),
        ({"view": "backend"}, "set delivery_view_auth: true"),
        ({"entitlement": "season"}, "view: token is refused"),
        ({"view": "open", "entitlement": "season"}, "view: open is refused beside an entitlement"),
    ]
    for said, why in cases:
        refused = await site.api("PUT", "streams/match", said)
        assert refused.status_code == 409
        assert why in refused.json()["detail"]
    assert (await site.api("PUT", "streams/match", {"view": "open"})).status_code == 201
    assert (await site.api("GET", "streams/match/viewers")).status_code == 409
    async with site.valkey_client() as valkey:  # as when delivery asked once, and does no more
        document = json.loads(str(await valkey.get("appliance:stream:match")))
        await valkey.set("appliance:stream:match", json.dumps({**document, "view": "token"}))
    await site.control.end()
    await site.control.up()
    await eventually(lambda: site.control.events("view_policy"))
    [said] = site.control.events("view_policy")
    assert said["streams"] == ["match"]
    assert "set delivery_view_auth: true" in said["reason"]


async def test_what_the_backend_is_told_of_a_viewer(
    site: Site, backend: StubBackend, watcher: Watcher
) -> None:
    await register(site, "match", view="backend", entitlement="season")
    assert await watcher.ask(referrer="https://site.example/watch", user_agent="Mozilla/5.0 (X11)") == 204
    [request] = backend.requests
    assert request.path == "/auth/play"
    assert "x-nginx-signature" in request.headers
    fields = dict(parse_qsl(request.body.decode()))
    [viewer] = (await site.api("GET", "streams/match/viewers")).json()["items"]
    assert fields == {
        "call": "play",
        "app": "live",
        "name": "match",
        "addr": "192.0.2.7",
        "protocol": "hls",
        "session": viewer["id"],
        "token": "a.b.c",
        "user_agent": "Mozilla/5.0 (X11)",
        "referrer": "https://site.example/watch",
        "entitlement": "season",
    }
    assert "a.b.c" not in site.control.log.read_text()


async def test_the_backends_no_is_the_viewers(site: Site, backend: StubBackend, watcher: Watcher) -> None:
    await register(site, "match", view="backend")
    for answered, status in {401: 401, 402: 402, 403: 403, 404: 403, 409: 403}.items():
        backend.replies = [answer(answered)]
        assert await watcher.ask(address=f"192.0.2.{answered % 100}") == status
    unreadable = (b'{"expires_in": "soon"}', b'{"max_sessions": -1}', b'{"expires_in": 60')
    for number, body in enumerate(unreadable):
        backend.replies = [answer(200, body)]
        assert await watcher.ask(address=f"192.0.2.1{number}") == 503
        assert "cannot be read" in site.control.events("view")[-1]["reason"]
        backend.replies = [answer(200)]  # and the breaker stays closed
        assert await watcher.ask(address=f"192.0.2.2{number}") == 204
    await eventually(lambda: _answers(watcher, 204, address="192.0.2.3"), 5)


@pytest.mark.parametrize("extra", [{"callback_view_seconds": 60}])
async def test_a_session_is_one_question(site: Site, backend: StubBackend, watcher: Watcher) -> None:
    await register(site, "match", view="backend")
    assert set(await asyncio.gather(*(watcher.ask() for _ in range(100)))) == {204}
    assert questions(backend) == 1
    for other in ({"token": "d.e.f"}, {"address": "192.0.2.8"}, {"referrer": "https://other.example/"}):
        assert await watcher.ask(**other) == 204
    assert questions(backend) == 4


async def test_who_is_in_does_not_lose_to_a_newcomer(
    site: Site, backend: StubBackend, watcher: Watcher
) -> None:
    await register(site, "match", view="backend")
    backend.replies = [said_yes(sub="anna", max_sessions=2)]
    assert [await watcher.ask(address=f"192.0.2.{n}") for n in (1, 2, 3)] == [204, 204, 403]
    newcomers = [watcher.ask(address=f"192.0.2.{n}") for n in range(4, 40)]
    incumbents = [watcher.ask(address=f"192.0.2.{n}") for n in (1, 2) for _ in range(20)]
    answers = await asyncio.gather(*newcomers, *incumbents)
    assert set(answers[: len(newcomers)]) == {403}
    assert set(answers[len(newcomers) :]) == {204}


async def test_a_yes_ends_when_it_was_said_to_or_the_backend_falls_silent(
    site: Site, backend: StubBackend, watcher: Watcher
) -> None:
    await register(site, "match", view="backend")
    backend.replies = [said_yes(expires_in=2), answer(402)]
    assert await watcher.ask() == 204
    [viewer] = (await site.api("GET", "streams/match/viewers")).json()["items"]
    assert viewer["ends_at"] is not None
    await eventually(lambda: _answers(watcher, 402), 5)
    backend.replies = [answer(200), answer(500)]
    assert await watcher.ask(address="192.0.2.8") == 204
    await eventually(lambda: _answers(watcher, 503, address="192.0.2.8"), 5)


class TestLastKnown:
    """The setting that repeats a verdict."""

    @pytest.fixture
    def settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        return {**settings, "callback_when_silent": "last-known", "callback_attempts": 1}

    async def test_who_was_in_stays_in(self, site: Site, backend: StubBackend, watcher: Watcher) -> None:
        await register(site, "match", view="backend")
        backend.replies = [said_yes(sub="anna", expires_in=600)]
        assert await watcher.ask() == 204
        backend.replies = [answer(500)]
        assert await watcher.ask(address="192.0.2.8") == 503
        await eventually(lambda: _repeated(site, watcher), 5)
        assert await watcher.ask() == 204
        [viewer] = (await site.api("GET", "streams/match/viewers")).json()["items"]
        assert viewer["viewer"] == "anna"  # what was allowed is remembered with it
        assert await watcher.ask(referrer="https://other.example/") == 503  # it was allowed on this page
        await register(site, "match", view="backend", entitlement="season")  # and not for this
        await eventually(lambda: _answers(watcher, 503), 5)


async def _repeated(site: Site, watcher: Watcher) -> bool:
    await watcher.ask()
    return any("its last verdict was 200" in line.get("reason", "") for line in site.control.events("view"))


async def test_who_watches_is_listed_page_by_page(site: Site, tmp_path: Path) -> None:
    await register(site, "match", view="token")
    anna = token(tmp_path, "match", viewer="anna", session="tv", seconds=600)
    watcher = Watcher(site=site, stream="match", token=anna)
    assert await watcher.ask() == 204
    assert await watcher.ask(address="192.0.2.8") == 204  # the same session, elsewhere
    [viewer] = (await site.api("GET", "streams/match/viewers")).json()["items"]
    assert (viewer["viewer"], viewer["session"], viewer["policy"]) == ("anna", "tv", "token")
    assert (viewer["client_ip"], viewer["user_agent"]) == ("192.0.2.8", "player")
    assert viewer["since"] <= viewer["seen_at"] < viewer["ends_at"]
    await asyncio.gather(*(watcher.ask(stream="demo", address=f"192.0.2.{n}") for n in range(25)))
    seen, after = [], ""
    while True:
        page = (await site.api("GET", f"streams/demo/viewers?limit=10&after={after}")).json()
        assert page["total"] == 25
        seen += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        after = page["next"]
    assert (len(seen), seen) == (25, sorted(set(seen)))
    assert (await site.api("GET", "streams/other/viewers")).json() == {"items": [], "total": 0, "next": None}
    assert (await site.api("GET", "streams/match/viewers?limit=0")).status_code == 400
    schemas = (await site.http.get("/api/v1/openapi.json")).json()["components"]["schemas"]
    assert set(schemas["ViewerPage"]["properties"]) == page.keys()
    assert set(schemas["ViewerItem"]["required"]) == viewer.keys()
    assert schemas["StreamSpec"]["properties"]["view"]["anyOf"][0]["enum"] == ["open", "token", "backend"]


async def test_an_ended_session_stays_out_with_its_token(site: Site, tmp_path: Path) -> None:
    await register(site, "match", view="token")
    watcher = Watcher(site=site, stream="match", token=token(tmp_path, "match", viewer="anna"))
    friend = token(tmp_path, "match", viewer="bert")
    assert [await watcher.ask(), await watcher.ask(token=friend)] == [204, 204]
    items = (await site.api("GET", "streams/match/viewers")).json()["items"]
    [viewer] = [item["id"] for item in items if item["viewer"] == "anna"]
    assert (await site.api("DELETE", f"streams/match/viewers/{viewer}")).status_code == 204
    assert [await watcher.ask(), await watcher.ask(address="192.0.2.8")] == [403, 403]
    assert await watcher.ask(token=friend) == 204
    assert (await site.api("DELETE", "streams/match/viewers/nobody")).status_code == 404
    # who showed no token is out by address and player
    assert [await watcher.ask(stream="demo", token="", user_agent=name) for name in "ab"] == [204, 204]
    items = (await site.api("GET", "streams/demo/viewers")).json()["items"]
    [viewer] = [item["id"] for item in items if item["user_agent"] == "a"]
    assert (await site.api("DELETE", f"streams/demo/viewers/{viewer}")).status_code == 204
    assert [await watcher.ask(stream="demo", token="", user_agent=name) for name in "ab"] == [403, 204]
    await site.control.end()  # another process, as another host's, knows it too
    await site.control.up()
    assert [await watcher.ask(), await watcher.ask(token=friend)] == [403, 204]


async def test_a_valkey_that_is_full_still_says_who_is_out(
    site: Site, watcher: Watcher, tmp_path: Path
) -> None:
    for policy in ("token", "backend"):
        await register(site, policy, view=policy)
    anna = replace(watcher, stream="token", token=token(tmp_path, "token", viewer="anna"))
    assert await anna.ask() == 204
    [viewer] = (await site.api("GET", "streams/token/viewers")).json()["items"]
    async with site.valkey_client() as valkey, valkey.pipeline(transaction=True) as pipe:
        pipe.zadd("appliance:viewers_ended", {viewer["id"]: time.time() + 600})
        pipe.config_set("maxmemory", 1)
        await pipe.execute()
    await eventually(lambda: _answers(anna, 403), 5)
    assert "maxmemory" in site.control.events("view_sync")[-1]["reason"]
    assert await watcher.ask(stream="backend") == 204  # it answers, so newcomers are asked about


async def test_a_program_issues_view_tokens(site: Site) -> None:
    await register(site, "match", view="token", entitlement="season")
    made = (await site.api("POST", "api-tokens", {"scopes": ["view-tokens:write"]})).json()["token"]
    wish = {"stream": "match", "viewer": "anna", "entitlement": "season", "ip": "192.0.2.0/24"}
    answered = await site.api("POST", "view-tokens", wish, token=made)
    assert answered.status_code == 201
    given = answered.json()
    assert given["path"] == f"/hls/t/{given['token']}/match.m3u8"
    ask = partial(Watcher(site=site, stream="match", token=given["token"]).ask)
    assert [await ask(), await ask(address="198.51.100.1"), await ask(stream="demo")] == [204, 403, 204]
    for wrong in ({"stream": "../x"}, {"stream": "a", "ip": "here"}, {"stream": "a", "paid_seconds": 60}):
        refused = await site.api("POST", "view-tokens", wrong, token=made)
        assert refused.status_code == 400, refused.text
    too_long = await site.api("POST", "view-tokens", {"stream": "a", "expires_in_seconds": 90_000})
    assert "allowed are 86400" in too_long.json()["detail"]
    assert (await site.api("GET", "streams", token=made)).status_code == 403
    assert given["token"] not in site.control.log.read_text()
