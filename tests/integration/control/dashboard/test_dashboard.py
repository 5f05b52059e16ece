"""The dashboard's endpoints behind nginx: who gets in, what is told, and what operators do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from typer.testing import CliRunner

from appliance.cli import operators
from tests.integration.control.conftest import eventually
from tests.integration.control.dashboard.conftest import NAME, OURS, PASSWORD, give_password
from tests.support import status_file
from tests.support.traffic import traffic_line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.integration.control.conftest import Site
    from tests.integration.control.dashboard.conftest import Front


async def events(front: Front, headers: dict[str, str] | None = None) -> AsyncIterator[tuple[str, str]]:
    """What the server sends: (event, data), until it ends."""
    async with front.http.stream("GET", "/dashboard/live", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        kind = ""
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield kind, line.removeprefix("data: ")


async def overview(front: Front, wanted: Any, seconds: float = 10) -> dict[str, Any]:
    """The first overview for which `wanted` is true."""
    async with asyncio.timeout(seconds):
        async for kind, data in events(front):
            if kind == "overview" and wanted(content := json.loads(data)):
                return dict(content)
    raise AssertionError("the events have ended")


def audited(site: Site, action: str) -> list[dict[str, Any]]:
    return [line for line in site.control.events("dashboard") if line["action"] == action]


async def test_only_who_signs_in_sees_anything(site: Site, front: Front) -> None:
    for path in ("live", "history", "streams/demo/keys", "streams/demo/thumbnail.jpg"):
        answer = await front.ask("GET", path)
        assert answer.status_code == 401, path
    # The third typed the password where the name belongs.
    for name, password in ((NAME, "not-the-password"), ("nobody", PASSWORD), (PASSWORD, ""), (NAME, "")):
        refused = await front.sign_in(name, password)
        assert refused.status_code == 401
        assert refused.json()["detail"] == "the name or the password is not right"
        assert "set-cookie" not in refused.headers
    answer = await front.sign_in()
    assert answer.json() == {"operator": NAME}
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("operator=")
    assert {"HttpOnly", "Path=/dashboard", "SameSite=strict"} <= set(cookie.split("; "))
    assert await front.operator() == NAME
    # Neither is anywhere in the state or the log.
    session_id = front.http.cookies["operator"]
    async with site.valkey_client() as valkey:
        kept = [await valkey.dump(key) or b"" for key in await valkey.keys("appliance:operator*")]
    log = site.control.log.read_text()
    assert not any(
        secret in text for secret in (session_id, PASSWORD, "nobody") for text in (*map(str, kept), log)
    )
    verdicts = [(line["operator"], line["status"]) for line in audited(site, "sign in")]
    assert verdicts == [(NAME, 401), ("-", 401), ("-", 401), (NAME, 401), (NAME, 200)]
    assert (await front.ask("DELETE", "session")).status_code == 204
    front.http.cookies.set("operator", session_id, domain="127.0.0.1", path="/dashboard")
    assert await front.operator() is None


async def test_a_page_that_nobody_looks_at_keeps_no_session_alive(site: Site, front: Front) -> None:
    await front.sign_in()
    async with site.valkey_client() as valkey:
        [key] = await valkey.keys("appliance:operator_session*")
        await valkey.pexpire(key, 60_000)
        assert await front.operator() == NAME
        assert await valkey.pttl(key) <= 60_000


async def test_another_password_and_the_end_of_an_operator_end_sessions(front: Front, tmp_path: Path) -> None:
    arguments = ["--settings", str(tmp_path / "appliance.yml"), "--directory", str(tmp_path / "credentials")]

    async def command(*words: str, given: str | None = None) -> str:
        done = await asyncio.to_thread(CliRunner().invoke, operators.app, [*words, *arguments], given)
        assert done.exit_code == 0, done.output
        return done.stdout.strip()

    await front.sign_in()
    drawn = await command("add", NAME)
    assert await front.operator() is None
    assert (await front.sign_in()).status_code == 401
    assert (await front.sign_in(password=drawn)).status_code == 200
    another = "another-good-one"
    await command("add", NAME, "--password-stdin", given=f"{another}\n")
    assert (await front.sign_in(password=another)).status_code == 200
    await command("remove", NAME)
    assert await front.operator() is None
    answer = await front.sign_in(password=another)
    assert "appliance operators add" in answer.json()["detail"]


async def test_guessing_locks_a_name_out(site: Site, front: Front) -> None:
    assert (await front.sign_in("eve", "wrong")).status_code == 401
    async with site.valkey_client() as valkey:  # each guess takes its time: eight more
        [failures] = await valkey.keys("appliance:operator_failures:*")
        await valkey.incrby(failures, 8)
    assert (await front.sign_in("eve", "wrong")).status_code == 401
    locked = await front.sign_in("eve", "wrong")
    assert locked.status_code == 429
    assert [line["operator"] for line in audited(site, "sign in")] == ["-"] * 3
    assert '"eve"' not in site.control.log.read_text()
    assert 0 < int(locked.headers["retry-after"]) <= 600
    assert (await front.sign_in()).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site", "Origin": "https://evil.example"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
        {"X_Dashboard": ""},
    ],
)
async def test_no_other_page_gets_anything_done(site: Site, front: Front, headers: dict[str, str]) -> None:
    await front.sign_in()
    publisher = await site.publish("demo")
    answer = await front.ask("DELETE", "streams/demo/publisher", **headers)
    assert answer.status_code == 403
    assert await publisher.connected(0.3)
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert audited(site, "drop publisher")[0]["verdict"] == "refused"


@pytest.mark.usefixtures("front")
async def test_over_https_the_cookie_is_this_hosts_alone(site: Site) -> None:
    """As nginx says it; that it says so for HTTPS alone is its configuration's test."""
    host = {"X-Forwarded-Proto": "https", "Host": "live.example", "Origin": "https://live.example", **OURS}
    body = {"name": NAME, "password": PASSWORD}
    answer = await site.http.post("/dashboard/session", json=body, headers=host)
    assert answer.status_code == 200
    fields = answer.headers["set-cookie"].split("; ")
    assert fields[0].startswith("__Host-operator=")
    assert {"HttpOnly", "Path=/", "SameSite=strict", "Secure"} <= set(fields)
    assert not any(field.startswith("Domain") for field in fields)
    # From elsewhere a password in the clear is not even looked at.
    elsewhere = {**host, "X-Forwarded-Proto": "http", "Origin": "http://live.example"}
    answer = await site.http.post(
        "/dashboard/session", json=body, headers={**elsewhere, "X-Forwarded-For": "192.0.2.9"}
    )
    assert (answer.status_code, "https://" in answer.json()["detail"]) == (403, True)


async def test_what_happens_comes_by_itself(site: Site, front: Front, tmp_path: Path) -> None:
    await front.sign_in()
    await site.publish("demo")
    status_file.put(tmp_path / "hls", status_file.content(time.time()))
    (tmp_path / "hls/demo/thumbnail.jpg").write_bytes(b"\xff\xd8picture")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as lines:
        datagram = traffic_line(stream="demo", kind="reload", status=200, size=9000, seconds=0.1, session="a")
        lines.sendto(datagram, str(site.lines))
    content = await overview(front, lambda each: each["streams"] and each["streams"][0].get("viewers"))
    [stream] = content["streams"]
    assert (stream["name"], stream["host"], stream["level"]) == ("demo", "here", "warning")
    assert stream["publisher"]["client_ip"] == "127.0.0.1"
    assert stream["findings"][0]["mend"]
    assert [(rung["name"], rung["dropped"]) for rung in stream["rungs"]] == [
        ("720p", False),
        ("480p", False),
        ("1080p", True),
    ]
    assert (stream["encoder"], stream["received_kbps"], stream["latency"]) == ("x264", 6021, 0.031)
    [host] = content["hosts"]
    assert (host["host"], host["silent"], host["streams"], host["viewers"]) == ("here", False, 1, 1)
    assert host["media"]["size"] > 0
    assert content["totals"]["viewers"] == 1
    picture = await front.ask("GET", "streams/demo/thumbnail.jpg")
    assert (picture.content, picture.headers["content-type"]) == (b"\xff\xd8picture", "image/jpeg")
    # What a browser missed it gets when it comes back, and nothing twice.
    texts, position = [], ""
    async with asyncio.timeout(10), front.http.stream("GET", "/dashboard/live") as answer:
        async for line in answer.aiter_lines():
            position = line.removeprefix("id: ") if line.startswith("id: ") else position
            if position and line.startswith("data: ["):
                texts += [each["text"] for each in json.loads(line.removeprefix("data: "))]
                break
    assert "A publisher at 127.0.0.1 was let in" in texts
    assert f"Operator {NAME}: sign in" in texts
    await front.ask("POST", "session", {"name": "eve", "password": "wrong"})
    async with asyncio.timeout(10):
        async for kind, data in events(front, {"Last-Event-ID": position}):
            if kind == "happenings":
                news = [each["text"] for each in json.loads(data)]
                assert not set(news) & set(texts)
                assert not any("eve" in text for text in news)  # any name could be typed there
                if "Somebody at 127.0.0.1 was not let in to the dashboard" in news:
                    break


async def test_the_last_hours_outlive_the_service(site: Site, front: Front) -> None:
    await front.sign_in()

    async def known() -> list[int | None]:
        return list((await front.ask("GET", "history")).json()["total"]["viewers"])

    async def sampled() -> bool:
        return bool(known_values(await known()))

    def known_values(values: list[int | None]) -> list[int]:
        return [value for value in values if value is not None]

    await eventually(sampled)
    await site.control.end()
    await site.control.up()
    assert set(known_values(await known())) == {0}


async def test_events_end_with_the_session_and_hold_no_restart_up(site: Site, front: Front) -> None:
    await front.sign_in()
    kinds = []
    async with asyncio.timeout(10):
        async for kind, _ in events(front):
            kinds.append(kind)
            if len(kinds) == 1:
                assert (await front.ask("DELETE", "session")).status_code == 204
    assert kinds[-1] == "signed-out"
    await front.sign_in()
    seen = events(front)
    await anext(seen)
    begun = time.monotonic()
    await site.control.end(signal.SIGTERM)
    assert time.monotonic() - begun < 3  # uvicorn would wait for 5 s
    with contextlib.suppress(httpx.RemoteProtocolError):
        async for _ in seen:
            pass


async def test_operators_do_what_the_api_does_and_it_is_written_down(site: Site, front: Front) -> None:
    await front.sign_in()
    assert (await front.ask("DELETE", "streams/demo/publisher")).status_code == 404
    first = await site.publish("demo")
    assert (await front.ask("DELETE", "streams/demo/publisher")).status_code == 204
    assert not await first.connected(5)
    [_, done] = audited(site, "drop publisher")
    assert (done["operator"], done["stream"], done["verdict"]) == (NAME, "demo", "allowed")
    assert any(NAME in line["reason"] for line in site.control.events("drop"))

    await site.api("PUT", "streams/concert", {})
    shown = (await site.api("POST", "streams/concert/keys", {})).json()
    second = await site.publish(f"concert?key={shown['key']}")
    keys = (await front.ask("GET", "streams/concert/keys")).json()["items"]
    assert [(key["id"], key["over"], "key" in key) for key in keys] == [(shown["id"], None, False)]

    assert (await front.ask("POST", "streams/concert/content-key")).status_code == 204
    assert site.systemd.started[-1] == "appliance-rotate-content-key@concert.service"
    assert (await front.ask("POST", "streams/nothing/content-key")).status_code == 404

    assert (await front.ask("DELETE", f"streams/concert/keys/{shown['id']}")).status_code == 204
    assert not await second.connected(5)
    assert audited(site, "revoke key")[0]["key"] == shown["id"]


async def test_a_second_operator_is_another_one(site: Site, front: Front) -> None:
    await give_password(site, "berta", "andere-wolken-8")
    await front.sign_in("berta", "andere-wolken-8")
    await site.publish("demo")
    await front.ask("DELETE", "streams/demo/publisher")
    assert audited(site, "drop publisher")[0]["operator"] == "berta"
