"""The HTTP nginx, asked for real: which files it serves, with which headers, and what it logs."""

from __future__ import annotations

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from .conftest import KEY, KID, PLAYLIST, RUN

if TYPE_CHECKING:
    from .conftest import Control, Delivery


@pytest.mark.parametrize(
    ("path", "kind", "cache"),
    [
        ("/hls/demo.m3u8", "application/vnd.apple.mpegurl", "no-cache"),
        (f"{RUN}/index.m3u8", "application/vnd.apple.mpegurl", "no-cache"),
        (f"{RUN}/17.m4s", "video/iso.segment", "public, max-age=31536000, immutable"),
        (f"{RUN}/17.ts", "video/mp2t", "public, max-age=31536000, immutable"),
        (f"{RUN}/init-0.mp4", "video/mp4", "public, max-age=31536000, immutable"),
        (f"/hls/demo/keys/{KID}", None, "no-store"),
        (f"{RUN}/17.2.m4s", "video/iso.segment", "public, max-age=31536000, immutable"),
        ("/hls/demo.jpg", "image/jpeg", "max-age=5"),
        ("/health", None, "no-store"),
    ],
)
def test_what_is_served(delivery: Delivery, path: str, kind: str | None, cache: str) -> None:
    answer, _ = delivery.ask(path)
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == cache
    assert kind is None or answer.headers["Content-Type"] == kind
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Server"] == "nginx"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/hls/demo/state.json", 404),
        ("/hls/demo/index.m3u8", 404),
        (f"{RUN}/.index.m3u8.new", 404),
        (f"{RUN}/99.m4s", 404),
        (f"{RUN}/17.2.ts", 404),  # Transport Streams have no parts
        (f"{RUN}/18.m4s", 403),  # a symbolic link: whoever can write media must not reach other files
        ("/hls/demo/..%2f..%2fetc/passwd", 404),
        ("/hls/demo/keys/1-short", 404),
        ("/hls/-demo.m3u8", 404),
        (f"/hls/{'a' * 65}.m3u8", 404),
        ("/", 404),
        ("/auth/publish", 404),  # what the control service answers to its neighbours alone
        ("/auth/view", 404),
        (f"/keys/demo/{KID}", 404),
        ("/ready", 404),
    ],
)
def test_what_is_not_served(delivery: Delivery, path: str, status: int) -> None:
    answer, _ = delivery.ask(path)
    assert answer.status == status
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_keys_come_from_control(delivery: Delivery) -> None:
    answer, body = delivery.ask(f"/hls/demo/keys/{KID}")
    assert body == KEY
    assert answer.headers["X-Asked"] == f"/keys/demo/{KID}"
    assert answer.headers.get_all("Cache-Control") == ["no-store"]


def test_a_key_that_all_ask_for_is_asked_for_once_a_second(delivery: Delivery, control: Control) -> None:
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(delivery.ask, [f"/hls/demo/keys/{KID}"] * 200))
    assert {(answer.status, key) for answer, key in answers} == {(200, KEY)}
    assert {answer.headers["Cache-Control"] for answer, _ in answers} == {"no-store"}
    assert 1 <= len(control.asked) <= 4  # the two hundred take a second or two on a busy machine
    # Another stream's is another key.
    delivery.ask(f"/hls/other/keys/{KID}")
    assert len(control.asked) <= 5
    assert f"/keys/other/{KID}" in delivery.ask(f"/hls/other/keys/{KID}")[0].headers["X-Asked"]


def test_a_playlist_is_never_answered_from_its_age(delivery: Delivery) -> None:
    answer, _ = delivery.ask(f"{RUN}/index.m3u8")
    assert answer.headers["ETag"] is None
    again, body = delivery.ask(f"{RUN}/index.m3u8", If_Modified_Since=answer.headers["Last-Modified"])
    assert again.status == 200
    assert body == PLAYLIST.encode()


def test_playlists_travel_compressed_and_segments_do_not(delivery: Delivery) -> None:
    answer, body = delivery.ask(f"{RUN}/index.m3u8", Accept_Encoding="gzip")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(body) == PLAYLIST.encode()
    answer, _ = delivery.ask(f"{RUN}/17.m4s", Accept_Encoding="gzip")
    assert answer.headers["Content-Encoding"] is None


@pytest.mark.parametrize("name", ["17.m4s", "17.ts", "17.2.m4s"])
def test_a_range_of_media_is_served(delivery: Delivery, name: str) -> None:
    answer, body = delivery.ask(f"{RUN}/{name}", Range="bytes=10-19")
    assert answer.status == 206
    assert answer.headers["Content-Range"].startswith("bytes 10-19/")
    assert body == bytes(10)


def test_a_preflight_request_is_answered_without_the_file(delivery: Delivery) -> None:
    answer, _ = delivery.ask("/hls/none.m3u8", "OPTIONS", Origin="https://player.example")
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, HEAD, OPTIONS"
    refused, _ = delivery.ask("/hls/demo.m3u8", "POST")
    assert (refused.status, refused.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
    assert delivery.ask("/hls/demo.m3u8")[0].headers["Allow"] is None


@pytest.mark.parametrize("settings", [{"delivery_cors_origins": ["https://player.example"]}])
def test_only_named_origins_may_play(delivery: Delivery) -> None:
    answer, _ = delivery.ask("/hls/demo.m3u8", Origin="https://player.example")
    assert answer.headers["Access-Control-Allow-Origin"] == "https://player.example"
    assert "Origin" in answer.headers.get_all("Vary", [])
    answer, _ = delivery.ask("/hls/demo.m3u8", Origin="https://other.example")
    assert answer.headers["Access-Control-Allow-Origin"] is None


@pytest.mark.parametrize("settings", [{"delivery_operator_networks": ["192.0.2.0/24"]}])
@pytest.mark.parametrize("path", ["/metrics", "/stat", "/streams/active", "/streams/stats"])
def test_others_than_operators_see_no_statistics(delivery: Delivery, path: str) -> None:
    assert delivery.ask(path)[0].status == 403


@pytest.mark.parametrize("path", ["/metrics", "/streams/active"])
def test_operators_see_statistics(delivery: Delivery, path: str) -> None:
    answer, _ = delivery.ask(path)
    assert (answer.status, answer.headers["X-Asked"]) == (200, path)


@pytest.mark.parametrize("settings", [{"delivery_access_log": "all"}])
def test_the_access_log_names_the_stream_and_no_secret(delivery: Delivery) -> None:
    referrer = "https://site.example/watch?token=SECRET"
    delivery.ask(f"{RUN}/17.m4s?token=SECRET", Referer=referrer, User_Agent='a "b"')
    entry = delivery.logged()
    assert "SECRET" not in json.dumps(entry)
    assert entry["stream"] == "demo"
    assert (entry["status"], entry["bytes"], entry["method"]) == (200, 100_000, "GET")
    assert (entry["uri"], entry["referrer"]) == (f"{RUN}/17.m4s", "https://site.example/watch")
    assert entry["user_agent"] == 'a "b"'
    assert entry["request"] == 1  # of the connection: one that is missing was lost
    assert set(entry) >= {"time", "remote_addr", "request_time", "cache", "connection"}


def test_the_brief_access_log_leaves_out_what_goes_on_as_long_as_one_watches(delivery: Delivery) -> None:
    paths = [f"{RUN}/17.m4s", f"{RUN}/17.ts", f"{RUN}/17.2.m4s", f"{RUN}/index.m3u8"]
    for path in [*paths, "/hls/demo.m3u8", *paths, f"{RUN}/99.m4s", f"/hls/demo/keys/{KID}"]:
        delivery.ask(path)
    seen = [delivery.logged()["uri"] for _ in range(3)]
    assert seen == ["/hls/demo.m3u8", f"{RUN}/99.m4s", f"/hls/demo/keys/{KID}"]


@pytest.mark.parametrize("path", ["/hls/demo.m3u8", f"{RUN}/17.m4s", f"{RUN}/index.m3u8", "/hls/demo.jpg"])
def test_a_name_ends_where_it_ends(delivery: Delivery, path: str) -> None:
    assert delivery.ask(path)[0].status == 200
    assert delivery.ask(f"{path}%0A")[0].status == 404


def test_nobody_keeps_that_a_range_lies_behind_the_end(delivery: Delivery) -> None:
    answer, _ = delivery.ask(f"{RUN}/17.m4s", Range="bytes=99999999-")
    assert answer.status == 416
    assert "no-store" in answer.headers.get_all("Cache-Control", [])
