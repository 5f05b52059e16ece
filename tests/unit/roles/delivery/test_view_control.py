"""The real control service behind the real nginx: tokens as they are issued, keys as they are."""

from __future__ import annotations

import ipaddress
import json
import logging
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn

from appliance.control.app import create_app
from appliance.control.context import Control
from appliance.control.secrets import Secrets
from appliance.control.view.tokens import ViewToken, issue
from appliance.secrets.content_keys import KeyId
from appliance.secrets.making import make_missing
from appliance.settings import Settings

from .conftest import KID, RUN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Delivery, Packager

pytestmark = pytest.mark.parametrize(
    "settings", [{"delivery_view_auth": True, "delivery_auth_cache_seconds": 1}]
)


@dataclass(frozen=True)
class Service:
    """A control service, and where it listens."""

    control: Control
    server_address: tuple[str, int]

    def token(self, *, stream: str = "demo", seconds: float = 60, **claims: Any) -> str:
        now = time.time()
        token = ViewToken(stream=stream, expires=now + seconds, **claims)
        return issue(self.control.token_keys(), token, now=now)


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Service]:
    """In place of the stand-in: the service itself, in a thread, without neighbours."""
    make_missing(tmp_path / "credentials", None)
    known = Settings(
        media_root=str(tmp_path / "media"),
        valkey_socket=str(tmp_path / "nobody.sock"),
        stat_url="http://127.0.0.1:9/stat",
        view_policy="token",
        view_sessions_per_viewer=1,
    )
    built = Control.build(known, Secrets.load(tmp_path / "credentials"))
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    server = uvicorn.Server(uvicorn.Config(create_app(built), log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield Service(built, listening.getsockname())
    server.should_exit = True
    thread.join(30)
    listening.close()


def status(delivery: Delivery, token: str, path: str = "demo.m3u8") -> int:
    return delivery.ask(f"/hls/t/{token}/{path}")[0].status


def test_a_token_opens_playlists_and_keys(delivery: Delivery, control: Service) -> None:
    kid = KeyId.new(1)
    token = control.token(viewer="anna", network=ipaddress.ip_network("127.0.0.0/8"))
    assert status(delivery, token) == 200
    assert status(delivery, token, f"demo/{RUN.removeprefix('/hls/demo/')}/index.m3u8") == 200
    answer, key = delivery.ask(f"/hls/demo/keys/{kid}", Cookie=f"view={token}")
    assert (answer.status, key) == (200, control.control.keyring.derive(str(kid), "demo"))
    answer, body = delivery.ask(f"/hls/demo/keys/{kid}")
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="view"')
    assert key not in body


def test_a_key_that_nothing_needs_is_not_found(delivery: Delivery, control: Service) -> None:
    assert status(delivery, control.token(), f"demo/keys/{KID}") == 404
    assert delivery.ask(f"/hls/demo/keys/{KID}")[0].status == 401


def test_every_refusal_has_its_status(
    delivery: Delivery, control: Service, packager: Packager, caplog: pytest.LogCaptureFixture
) -> None:
    now = time.time()
    elsewhere = ipaddress.ip_network("192.0.2.0/24")
    tokens = {
        control.token(seconds=-1): (401, "expired"),
        control.token(seconds=90_000): (401, "allowed are 86400"),
        control.token()[:-8] + "AAAAAAAA": (401, "ignature"),
        control.token(entitlement="match", paid_until=now - 1): (402, "is over"),
        control.token(stream="other"): (403, "the token is for other"),
        control.token(network=elsewhere): (403, "192.0.2.0/24"),
    }
    with caplog.at_level(logging.INFO, logger="appliance"):
        for token, (expected, _) in tokens.items():
            assert status(delivery, token) == expected
            assert status(delivery, token, "demo/abc123/v720/index.m3u8?_HLS_msn=18") == expected
    assert packager.asked == []
    lines = [vars(line)["fields"] for line in caplog.records if line.getMessage() == "view"]
    for line, (expected, reason) in zip(lines, tokens.values(), strict=False):
        assert line["status"] == expected
        assert reason in line["reason"]
    said = json.dumps([vars(line).get("fields") for line in caplog.records])
    assert not any(token.rpartition(".")[2] in said for token in tokens)


def test_a_token_that_ends_while_one_watches(delivery: Delivery, control: Service) -> None:
    token = control.token(seconds=2)
    assert status(delivery, token) == 200
    deadline = time.monotonic() + 30
    while (seen := status(delivery, token)) == 200:  # as long as delivery remembers
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert seen == 401


def test_without_the_shared_state_a_signed_token_lets_in(delivery: Delivery, control: Service) -> None:
    for session in ("tv", "phone"):
        assert status(delivery, control.token(viewer="anna", session=session)) == 200
