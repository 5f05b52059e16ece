"""What somebody tries who may not: each attack has its answer, and none tells what there is.

Others stand beside what they attack: names and repeated parameters (test_publish), RTMP play around the HLS
rules (test_publish), tokens of any shape (unit: view/test_tokens), webhooks sent again
(test_example_backend), bounds of delivery (unit: roles/delivery/test_limits), the service's port from outside
(host: test_services).
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from appliance.control.api import bearer
from appliance.control.api.problem import ProblemError
from appliance.media.rtmp.client import RtmpError
from appliance.names import StreamName
from appliance.secrets import stream_keys
from appliance.secrets.token_keys import TokenKeys
from tests.integration.control.conftest import eventually
from tests.support.stub_backend import StubBackend, answer

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from tests.integration.control.conftest import Site

SOMEBODY = "203.0.113.9"
INSIDE = "198.51.100.7"


@pytest.fixture
def settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Tokens are needed, and nobody is banned meanwhile."""
    return {**settings, "view_policy": "token", "publish_failures": 0}


def seen(answered: httpx.Response) -> tuple[int, str, list[tuple[str, str]]]:
    """All that a caller sees of an answer."""
    headers = [(name, value) for name, value in answered.headers.items() if name != "date"]
    return answered.status_code, answered.text, headers


async def costs(site: Site, question: Any) -> tuple[httpx.Response, dict[str, int]]:
    """An answer, and how often which command of Valkey was needed for it: what its time consists of."""

    async def counted() -> dict[str, int]:
        async with site.valkey_client() as valkey:
            found = await valkey.info("commandstats")
        return {name.removeprefix("cmdstat_"): row["calls"] for name, row in found.items()}

    before = await counted()
    answered = await question
    after = await counted()
    ours = {"info", "auth", "hello", "client|setinfo", "client|setname", "select", "client", "ping"}
    return answered, {
        name: after[name] - before.get(name, 0)
        for name in after.keys() - ours
        if after[name] != before.get(name, 0)
    }


class TestPublish:
    """Publishers without right."""

    @pytest.fixture
    def settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        # No comparison with /stat in between: it has questions to Valkey of its own.
        return {**settings, "reconcile_seconds": 60, "lease_seconds": 600}

    async def test_nobody_learns_which_streams_there_are(self, site: Site) -> None:
        await site.api("PUT", "streams/concert", {"allow": ["198.51.100.0/24"]})
        await site.api("PUT", "streams/other", {})
        made = (await site.api("POST", "streams/concert/keys", {})).json()
        good, other = made["key"], (await site.api("POST", "streams/other/keys", {})).json()["key"]
        revoked = (await site.api("POST", "streams/concert/keys", {})).json()
        await site.api("DELETE", f"streams/concert/keys/{revoked['id']}")
        wrong = f"{made['id']}.{'a' * 32}"
        tried = {
            "a stream that is not there": ("nothing", {}),
            "with a key": ("nothing", {"key": good}),
            "one that is there, without a key": ("concert", {}),
            "with a wrong secret": ("concert", {"key": wrong}),
            "with another stream's key": ("concert", {"key": other}),
            "with a key that is over": ("concert", {"key": revoked["key"]}),
            "with the key, from another network": ("concert", {"key": good}),
            "with no key at all": ("concert", {"key": "x" * 500}),
        }
        answers = {}
        await site.ask("publish", "nothing", addr=SOMEBODY)  # scripts are loaded
        for what, (name, fields) in tried.items():
            answered, commands = await costs(site, site.ask("publish", name, addr=SOMEBODY, **fields))
            answers[what] = (seen(answered), commands)
        status, text, _ = next(iter(answers.values()))[0]
        assert (status, json.loads(text)) == (403, {"detail": "Invalid stream key"})
        for what, both in answers.items():
            assert both == answers["a stream that is not there"], what
        assert (await site.ask("publish", "concert", addr=INSIDE, key=good)).status_code == 200

    async def test_a_key_is_compared_even_where_there_is_none(self, site: Site) -> None:
        """The digest is the dear part of an answer: it is made for every question, also without a stream."""
        await site.api("PUT", "streams/concert", {})

        async def quickest(name: str, **fields: str) -> float:
            took = []
            for _ in range(40):
                began = time.perf_counter()
                assert (await site.ask("publish", name, addr=SOMEBODY, **fields)).status_code == 403
                took.append(time.perf_counter() - began)
            return min(took)

        made = (await site.api("POST", "streams/concert/keys", {})).json()
        times = [
            await quickest("nothing"),
            await quickest("concert"),
            await quickest("concert", key=f"{made['id']}.{'a' * 32}"),
        ]
        # Far from what a digest of a slow kind, or one more question to Valkey, would show.
        assert max(times) < 3 * min(times), times

    @pytest.mark.parametrize("address", [SOMEBODY, "2001:db8::7"])
    async def test_a_flood_of_attempts_is_answered_without_asking_valkey(
        self, site: Site, address: str
    ) -> None:
        answers = [await site.ask("publish", "nothing", addr=address) for _ in range(300)]
        late, commands = await costs(site, site.ask("publish", "nothing", addr=address))
        assert seen(late) == seen(answers[0])
        assert commands == {}
        assert (await site.ask("publish", "demo", addr=INSIDE)).status_code == 200

    async def test_lines_in_what_an_encoder_says_reach_no_header(self, site: Site) -> None:
        """nginx writes flashver and the arguments as they are; a callback is a form in a body, so no line of
        them can be a header of it.
        """
        evil = "\r\nX-Real-IP: 127.0.0.1\r\nContent-Length: 0\r\n\r\nname=demo"
        for name in (f"unknown{evil}", f"unknown?x={evil}&name=demo", f"unknown?{evil}"):
            with pytest.raises(RtmpError):
                await site.publish(name)
        assert "<publishing/>" not in await site.on_air()
        lines = site.control.log.read_text().splitlines()
        assert not [line for line in lines if line.startswith("X-Real-IP")]
        assert await site.active() == set()


class TestBackend:
    """What a backend answers that somebody else has taken over, or that is asked about somebody hostile."""

    @pytest.fixture
    def settings(self, settings: dict[str, Any], backend: StubBackend) -> dict[str, Any]:
        return {
            **settings,
            "http_callback_url": backend.url,
            "callback_seconds": 0.5,
            "callback_attempts": 1,
            "rtmp_play": True,
            "view_policy": "open",  # nobody plays over RTMP where a token is needed
        }

    async def test_a_location_is_followed_nowhere_and_passed_on_to_nobody(
        self, site: Site, backend: StubBackend
    ) -> None:
        """nginx-rtmp would relay to where a Location points."""
        backend.replies = [answer(200, b"{}", "Location: rtmp://203.0.113.9/live")]
        answered = await site.ask("publish", "demo")
        assert (answered.status_code, "location" in answered.headers) == (200, False)
        tried = [
            ("publish", 302, "rtmp://203.0.113.9/live"),
            ("play", 301, "//203.0.113.9/"),
            ("publish", 307, f"{backend.url}/other"),
        ]
        for path, status, location in tried:
            backend.replies = [answer(status, b"", f"Location: {location}")]
            answered = await site.ask(path, "second")
            assert (answered.status_code, "location" in answered.headers) == (503, False)
        assert {request.path for request in backend.requests} <= {"/auth/publish", "/auth/play", "/events"}

    async def test_what_an_encoder_says_cannot_add_to_the_question(
        self, site: Site, backend: StubBackend
    ) -> None:
        client = "1\r\nX-Evil: 1&name=other&"
        answered = await site.ask(
            "publish", "demo", client=client, addr=f"{SOMEBODY}&name=other\r\nX-Evil: 1"
        )
        assert answered.status_code == 200
        [question] = [request for request in backend.requests if request.path == "/auth/publish"]
        assert "x-evil" not in question.headers
        assert question.body.count(b"name=") == 1
        assert b"name%3Dother" in question.body


PATHS = [
    "/streams/..%2f..%2fetc%2fpasswd",
    "/streams/%2e%2e",
    "/streams/a%00b",
    "/streams/demo%0d%0aX-Evil:%201",
    "/keys/..%2f..%2f/1-0",
    "/keys/demo/..%2f..%2fstate.json",
    "/keys/demo%2f..%2fother/1-00000000000000000000000000000000",
    "/api/v1/streams/..%2f..%2fapi-tokens",
    "/auth/../streams/active/..",
]


async def test_paths_lead_nowhere_else(site: Site) -> None:
    for path in PATHS:
        status, head, body = await exchange(site, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert status in {401, 404}, path
        assert b"evil" not in head.lower(), path
        assert b"root:" not in body


@pytest.fixture
def keys(site: Site, tmp_path: Path) -> TokenKeys:
    """What the service signs with."""
    assert site.control.process is not None
    return TokenKeys.load(tmp_path / "credentials" / "view-token-keys")


def signed(claims: dict[str, Any], header: dict[str, Any], secret: bytes, algorithm: str = "sha256") -> str:
    """A token with any header, as no library would make it."""

    def encode(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    text = f"{encode(json.dumps(header).encode())}.{encode(json.dumps(claims).encode())}"
    return f"{text}.{encode(hmac.new(secret, text.encode(), algorithm).digest())}"


async def test_every_bad_token_is_the_same_to_who_shows_it(site: Site, keys: TokenKeys) -> None:
    now = int(time.time())
    claims = {"iss": "appliance", "aud": "view", "exp": now + 600, "iat": now, "stream": "demo"}
    secret, header = keys.keys[keys.current].secret, {"alg": "HS256", "kid": keys.current}
    good = signed(claims, header, secret)
    foreign = TokenKeys.create()
    public = b"-----BEGIN PUBLIC KEY-----\nMFww\n-----END PUBLIC KEY-----\n"
    tokens = {
        "none": "",
        "no token": "a.b.c",
        "alg none": signed(claims, {**header, "alg": "none"}, secret).rpartition(".")[0] + ".",
        "alg None, signed": signed(claims, {**header, "alg": "None"}, secret),
        "another algorithm, our key": signed(claims, {**header, "alg": "HS512"}, secret, "sha512"),
        "key confusion": signed(claims, {**header, "alg": "RS256"}, public),
        "a key of its own": signed(claims, {**header, "jwk": {"kty": "oct", "k": "AAAA"}}, bytes(3)),
        "an empty key": signed(claims, header, b""),
        "foreign": signed(claims, {**header, "kid": foreign.current}, foreign.keys[foreign.current].secret),
        "foreign with our kid": signed(claims, header, foreign.keys[foreign.current].secret),
        "a path for a kid": signed(claims, {**header, "kid": "../../etc/passwd"}, b"root"),
        "stale": signed({**claims, "exp": now - 1}, header, secret),
        "for ever": signed({**claims, "exp": now + 10 * 365 * 86_400}, header, secret),
        "not yet": signed({**claims, "nbf": now + 600}, header, secret),
        "for the API": signed({**claims, "aud": "api"}, header, secret),
        "of another issuer": signed({**claims, "iss": "elsewhere"}, header, secret),
        "cut": good[:-1],
    }

    async def view(stream: str, token: str) -> httpx.Response:
        headers = {"X-Stream": stream, "X-View-Token": token, "X-Real-IP": SOMEBODY}
        return await site.http.get("/auth/view", headers=headers)

    assert (await view("demo", good)).status_code == 204
    await site.publish("demo")
    expected = seen(await view("demo", ""))
    assert expected[0] == 401
    for what, token in tokens.items():
        for stream in ("demo", "nothing"):
            assert seen(await view(stream, token)) == expected, (what, stream)
    # A good token for another stream says 403, whether or not there is the one that is asked for.
    answers = [seen(await view(stream, good)) for stream in ("second", "nothing")]
    assert answers[0] == answers[1]
    assert answers[0][0] == 403
    log = site.control.log.read_text()
    assert good.rpartition(".")[2] not in log


async def test_keys_that_are_not_there_are_all_alike(site: Site) -> None:
    await site.publish("demo")
    kid = "9-" + "0f" * 16
    answers = [seen(await site.http.get(f"/keys/{stream}/{kid}")) for stream in ("demo", "nothing", "a.b")]
    assert answers[0][0] == 404
    assert answers.count(answers[0]) == 3


async def exchange(site: Site, sent: bytes, *, more: bytes = b"") -> tuple[int, bytes, bytes]:
    """Status, head and body of the answer to `sent`; status 0 when the service hung up without one.

    `more` is sent every half second until then.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", site.control.port)

    async def trickle() -> None:
        while True:
            await asyncio.sleep(0.5)
            writer.write(more)

    trickling = asyncio.create_task(trickle()) if more else None
    try:
        writer.write(sent)
        async with asyncio.timeout(9):
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head.split()[1])
            return status, head, await reader.read(1000) if b"content-length: 0" not in head else b""
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return 0, b"", b""
    finally:
        if trickling is not None:
            trickling.cancel()
        writer.close()


async def test_who_is_slow_or_has_no_end_is_hung_up_on(site: Site) -> None:
    """All at once: each takes the five seconds that are given."""
    post = b"POST /auth/publish HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nname="
    token = f"Authorization: Bearer {site.admin_token}".encode()
    put = b"PUT /api/v1/streams/demo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + token
    chunked = put + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
    endless = b"GET /health HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 100_000
    second = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /health HTTP/1.1\r\nX-Slow: "
    answers = await asyncio.gather(
        exchange(site, b"GET /health HTTP/1.1\r\nX-Slow: ", more=b"a"),
        exchange(site, b""),
        exchange(site, endless),
        exchange(site, b"GET /" + b"a" * 100_000),
        exchange(site, b"GET /health HTTP/1.1\r\n" + b"X: y\r\n" * 20_000),
        exchange(site, post, more=b"a"),
        exchange(site, put + b"\r\nContent-Length: 1000\r\n\r\n{", more=b" "),
        exchange(site, chunked + b"10000\r\n" + b" " * 0x10000 + b"\r\n" + b"10\r\n" + b" " * 16 + b"\r\n"),
        exchange(site, second, more=b"a"),
    )
    assert [status for status, _, _ in answers] == [0, 0, 0, 0, 0, 400, 408, 413, 200]
    assert (await site.ask("publish", "demo")).status_code == 200
    assert "Traceback" not in site.control.log.read_text()


async def test_a_thousand_who_say_nothing_keep_nobody_out(site: Site) -> None:
    connections = [await asyncio.open_connection("127.0.0.1", site.control.port) for _ in range(1000)]
    try:
        assert (await site.ask("publish", "demo")).status_code == 200
        assert (await site.http.get("/health")).elapsed.total_seconds() < 2
    finally:
        for _, writer in connections:
            writer.close()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST /auth/publish HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /auth/publish HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nname=",
        b"GET /health HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET /health HTTP/1.1\nX\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
async def test_what_two_servers_would_read_differently_is_refused(site: Site, request_bytes: bytes) -> None:
    status, _, _ = await exchange(site, request_bytes)
    assert status == 400
    assert (await site.http.get("/health")).status_code == 200


async def test_secrets_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the path that is taken: whatever is shown is handed to compare_digest, and nothing else decides."""
    compared: list[Any] = []
    real = hmac.compare_digest

    def watched(one: Any, other: Any) -> bool:
        compared.append((one, other))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    key = stream_keys.draw_key()
    assert not stream_keys.matches(b"pepper", StreamName("demo"), key, "0" * 64)
    assert [other for _, other in compared] == ["0" * 64]

    class Nobody:
        class secrets:  # noqa: N801 - stands for an attribute
            @staticmethod
            def admin_tokens() -> tuple[str, ...]:
                return ("the-secret",)

        class api_tokens:  # noqa: N801 - stands for an attribute
            @staticmethod
            async def find(_: str) -> None:
                return None

    class Asked:
        headers = {"authorization": "Bearer the-secreX"}  # noqa: RUF012

    with pytest.raises(ProblemError):
        await bearer.authorise(Asked(), Nobody(), "streams:read")  # type: ignore[arg-type]
    assert compared[-1] == (b"the-secreX", b"the-secret")


async def test_a_ban_looks_like_any_refusal(site: Site) -> None:
    refused = seen(await site.ask("publish", "nothing", addr=SOMEBODY))
    async with site.valkey_client() as valkey:
        await valkey.zadd("appliance:bans", {SOMEBODY: 9e12})
    assert seen(await site.ask("publish", "demo", addr=SOMEBODY)) == refused
    await eventually(lambda: "is banned" in site.control.log.read_text())
