"""What one address may ask for, who counts as one, and what a client that takes its time is given."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import KID, RUN

if TYPE_CHECKING:
    from ..conftest import Render
    from .conftest import Delivery, Packager

PROXY: dict[str, Any] = {"delivery_trusted_proxies": ["127.0.0.1"]}
OTHERS: dict[str, Any] = {"delivery_unlimited_networks": []}
LIMITED = {
    **OTHERS,
    "delivery_playlist_rate": 2,
    "delivery_media_rate": 2,
    "delivery_key_rate": 2,
    "delivery_api_rate": 2,
}

KINDS = {
    "playlists": ["/hls/demo.m3u8", f"{RUN}/index.m3u8", "/hls/demo.jpg", f"{RUN}/index.m3u8?_HLS_skip=YES"],
    "media": [f"{RUN}/17.m4s", f"{RUN}/17.2.m4s", f"{RUN}/99.m4s", f"{RUN}/init-0.mp4"],
    "keys": [f"/hls/demo/keys/{KID}", f"/hls/none/keys/{KID}"],
    "API": ["/api/v1/streams", "/health", "/stat", "/streams/active"],
}


def statuses(delivery: Delivery, paths: list[str], **headers: str) -> Counter[int]:
    return Counter(delivery.ask(path, **headers)[0].status for path in paths)


@pytest.mark.parametrize("settings", [LIMITED])
@pytest.mark.parametrize("kind", KINDS)
def test_too_much_of_one_kind_is_refused_and_the_others_are_not(delivery: Delivery, kind: str) -> None:
    # four at once, which is twice the rate, and the first; the rest of a second's may follow
    seen = statuses(delivery, KINDS[kind] * (20 // len(KINDS[kind])))
    assert 13 <= seen[429] <= 15, seen
    for other in KINDS.keys() - {kind}:
        assert delivery.ask(KINDS[other][0])[0].status != 429
    assert delivery.ask("/hls/demo.m3u8", "OPTIONS")[0].status == 204


@pytest.mark.parametrize("settings", [{**LIMITED, "delivery_access_log": "brief"}])
def test_the_refusal_says_when_to_come_back_and_is_logged(delivery: Delivery) -> None:
    answers = [delivery.ask(f"{RUN}/index.m3u8")[0] for _ in range(8)]
    refused = next(answer for answer in answers if answer.status == 429)
    assert refused.headers["Retry-After"] == "1"
    assert refused.headers["Cache-Control"] == "no-store"
    assert answers[0].headers["Retry-After"] is None
    line = delivery.logged()
    assert (line["status"], line["remote_addr"]) == (429, "127.0.0.1")


def test_this_host_is_not_bounded(delivery: Delivery) -> None:
    assert statuses(delivery, ["/health"] * 500) == {200: 500}


@pytest.mark.parametrize("settings", [OTHERS])
def test_two_hundred_viewers_behind_one_address_are_welcome(delivery: Delivery) -> None:
    def watch(_: int) -> Counter[int]:
        keys = [f"/hls/demo/keys/{KID}"] * 2
        return statuses(delivery, ["/hls/demo.m3u8", *keys, *[f"{RUN}/index.m3u8", f"{RUN}/17.2.m4s"] * 3])

    with ThreadPoolExecutor(32) as pool:
        seen = sum(pool.map(watch, range(200)), Counter[int]())
    assert seen == {200: 200 * 9}


@pytest.mark.parametrize("settings", [{**LIMITED, **PROXY}])
def test_viewers_behind_a_trusted_proxy_are_told_apart(delivery: Delivery) -> None:
    paths = [f"{RUN}/17.m4s"] * 10
    assert statuses(delivery, paths, X_Forwarded_For="192.0.2.1")[429] >= 4
    assert delivery.ask(paths[0], X_Forwarded_For="192.0.2.2")[0].status == 200
    # Who has a whole IPv6 network is one; its neighbour is another.
    assert statuses(delivery, paths[:5], X_Forwarded_For="2001:db8:1:2::7")[429] == 0
    assert statuses(delivery, paths[:5], X_Forwarded_For="2001:db8:1:2:ffff::1")[429] >= 3
    assert delivery.ask(paths[0], X_Forwarded_For="2001:db8:1:3::7")[0].status == 200


@pytest.mark.parametrize("settings", [{**LIMITED, **PROXY}])
def test_what_a_viewer_claims_of_itself_is_not_believed(delivery: Delivery) -> None:
    """The proxy appends the address that it saw; what stood there before is the viewer's own invention."""
    paths = [f"{RUN}/17.m4s"] * 3
    seen = Counter[int]()
    for number in range(5):
        seen += statuses(delivery, paths, X_Forwarded_For=f"198.51.100.{number}, 192.0.2.1")
    assert seen[429] >= 8


@pytest.mark.parametrize("settings", [LIMITED])
def test_without_a_trusted_proxy_nobody_is_believed(delivery: Delivery) -> None:
    seen = Counter[int]()
    for number in range(15):
        seen += statuses(delivery, [f"{RUN}/17.m4s"], X_Forwarded_For=f"192.0.2.{number}")
    assert seen[429] >= 8


@pytest.mark.parametrize(
    "settings", [{**PROXY, "delivery_view_auth": True, "delivery_viewer_networks": ["192.0.2.0/24"]}]
)
@pytest.mark.parametrize("paths", KINDS.values(), ids=KINDS.keys())
def test_only_some_networks_may_watch(delivery: Delivery, paths: list[str]) -> None:
    hls = [path for path in paths if path.startswith("/hls")]
    outside = statuses(delivery, hls, X_Forwarded_For="198.51.100.7")
    inside = statuses(delivery, hls, X_Forwarded_For="192.0.2.7")
    assert outside == {403: len(hls)} if hls else not outside
    assert inside[403] == 0
    assert delivery.ask("/health", X_Forwarded_For="198.51.100.7")[0].status == 200


@pytest.mark.parametrize("settings", [{**PROXY, "delivery_proxy_protocol": True}])
def test_the_proxy_protocol_names_the_viewer(delivery: Delivery) -> None:
    with socket.create_connection(("127.0.0.1", delivery.port)) as connection:
        connection.sendall(b"PROXY TCP4 192.0.2.9 192.0.2.1 4711 80\r\nGET /none HTTP/1.0\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 404")
    assert delivery.logged()["remote_addr"] == "192.0.2.9"


@pytest.mark.parametrize(
    "settings", [{**OTHERS, "delivery_connections_per_address": 5, "delivery_access_log": "none"}]
)
def test_only_so_many_requests_are_in_progress(delivery: Delivery, packager: Packager) -> None:
    """Players that are held count; who is answered makes room."""
    path = f"{RUN}/index.m3u8?_HLS_msn="
    first = [threading.Thread(target=delivery.ask, args=(f"{path}{number}",)) for number in range(5)]
    for thread in first:
        thread.start()
    packager.wait(5)
    assert delivery.ask("/hls/demo.m3u8")[0].status == 429
    packager.answer("/abc123/v720/index.m3u8", body=b"#EXTM3U")
    for thread in first:
        thread.join(30)
    assert delivery.ask("/hls/demo.m3u8")[0].status == 200


def first_line(delivery: Delivery, sent: bytes) -> bytes:
    """How the answer to bytes begins."""
    with socket.create_connection(("127.0.0.1", delivery.port), timeout=30) as connection:
        connection.sendall(sent)
        return connection.makefile("rb").readline()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /hls/" + b"a" * 9000 + b".m3u8 HTTP/1.1\r\nHost: x\r\n\r\n", b"414"),
        (b"GET /hls/demo.m3u8 HTTP/1.1\r\nHost: x\r\nCookie: " + b"a" * 9000 + b"\r\n\r\n", b"400"),
        (b"GET /hls/demo.m3u8 HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n", b"413"),
        (b"POST /api/v1/streams HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n", b"413"),
    ],
)
def test_what_is_too_long_is_refused(delivery: Delivery, request_bytes: bytes, status: bytes) -> None:
    assert first_line(delivery, request_bytes).split()[1] == status


def test_slow_clients_are_given_ten_seconds(render: Render) -> None:
    text = render("delivery", "delivery.conf.j2")
    for line in ("client_header_timeout 10s;", "client_body_timeout 10s;", "send_timeout 30s;"):
        assert line in text
