"""What is not there yet: delivery asks the packager once for all, and gets on without it."""

from __future__ import annotations

import gzip
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from .conftest import PLAYLIST, RUN

if TYPE_CHECKING:
    from .conftest import Delivery, Packager

NEWS = b"#EXTM3U\n" + b"#EXTINF:2.0,\n18.m4s\n" * 40
INDEX = "/abc123/v720/index.m3u8"
IMMUTABLE = "public, max-age=31536000, immutable"


def test_a_player_that_waits_is_answered_by_the_packager(packager: Packager, delivery: Delivery) -> None:
    packager.answer(INDEX, body=NEWS)
    answer, body = delivery.ask(f"{RUN}/index.m3u8?_HLS_msn=18&_HLS_part=0", Accept_Encoding="gzip")
    assert answer.status == 200
    assert gzip.decompress(body) == NEWS
    assert answer.headers["Content-Type"] == "application/vnd.apple.mpegurl"
    assert answer.headers.get_all("Cache-Control") == ["max-age=12"]
    assert answer.headers.get_all("Access-Control-Allow-Origin") == ["*"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("sent", "asked"),
    [
        ("_HLS_msn=18", "_HLS_msn=18"),
        ("_HLS_part=3&_HLS_msn=18", "_HLS_msn=18&_HLS_part=3"),
        ("_HLS_skip=YES&_HLS_msn=18", "_HLS_msn=18&_HLS_skip=YES"),
        ("token=SECRET&_HLS_msn=018&_HLS_part=0&_HLS_skip=v2&x", "_HLS_msn=18&_HLS_part=0&_HLS_skip=YES"),
        ("_HLS_msn=0", "_HLS_msn=0"),
    ],
)
def test_directives_reach_the_packager_in_one_form(
    packager: Packager, delivery: Delivery, sent: str, asked: str
) -> None:
    packager.answer(INDEX, body=NEWS)
    assert delivery.ask(f"{RUN}/index.m3u8?{sent}")[0].status == 200
    assert packager.asked == [f"{INDEX}?{asked}"]


@pytest.mark.parametrize(
    "sent",
    [
        "_HLS_msn=x",
        "_HLS_msn=-1",
        "_HLS_msn=1%20",
        "_HLS_msn=1234567890123",
        "_HLS_part=1",
        "_HLS_msn=1&_HLS_part=1.5",
        "_HLS_msn=1&_HLS_part=1234567",
        "_HLS_skip=NO",
        "_HLS_msn=1&_HLS_skip=yes",
    ],
)
def test_malformed_directives_are_refused(packager: Packager, delivery: Delivery, sent: str) -> None:
    answer, _ = delivery.ask(f"{RUN}/index.m3u8?{sent}")
    assert answer.status == 400
    assert answer.headers["Cache-Control"] == "no-store"
    assert packager.asked == []


@pytest.mark.parametrize("query", ["", "?", "?token=x", "?msn=18", "?_HLS_skip=YES"])
def test_who_does_not_wait_gets_the_file(packager: Packager, delivery: Delivery, query: str) -> None:
    answer, body = delivery.ask(f"{RUN}/index.m3u8{query}")
    assert (answer.status, body) == (200, PLAYLIST.encode())
    assert answer.headers["Cache-Control"] == "no-cache"
    assert packager.asked == []


@pytest.mark.parametrize("name", ["index.m3u8?_HLS_msn=18&_HLS_part=1", "18.1.m4s"])
def test_a_hundred_viewers_cost_the_packager_one_request(
    packager: Packager, delivery: Delivery, name: str
) -> None:
    with ThreadPoolExecutor(100) as pool:
        asked = [pool.submit(delivery.ask, f"{RUN}/{name}") for _ in range(100)]
        packager.wait(1)
        packager.answer(f"/abc123/v720/{name.partition('?')[0]}", body=NEWS)
        answers = [future.result() for future in asked]
    assert {(answer.status, body) for answer, body in answers} == {(200, NEWS)}
    assert len(packager.asked) == 1


def test_different_parts_are_different_requests(packager: Packager, delivery: Delivery) -> None:
    packager.answer(INDEX, body=NEWS)
    for part in range(3):
        delivery.ask(f"{RUN}/index.m3u8?_HLS_msn=18&_HLS_part={part}")
    assert len(packager.asked) == 3


def test_head_and_ranges_of_what_was_held(packager: Packager, delivery: Delivery) -> None:
    packager.answer("/abc123/v720/18.1.m4s", body=bytes(range(100)))
    answer, body = delivery.ask(f"{RUN}/18.1.m4s", "HEAD")
    assert (answer.status, answer.headers["Content-Length"], body) == (200, "100", b"")
    answer, body = delivery.ask(f"{RUN}/18.1.m4s", Range="bytes=10-12")
    assert (answer.status, body) == (206, bytes([10, 11, 12]))
    assert len(packager.asked) == 1


@pytest.mark.parametrize("status", [400, 404])
def test_a_refusal_is_passed_on_and_kept_by_nobody(
    packager: Packager, delivery: Delivery, status: int
) -> None:
    packager.answer(INDEX, status)
    answer, _ = delivery.ask(f"{RUN}/index.m3u8?_HLS_msn=99")
    assert answer.status == status
    assert answer.headers["Cache-Control"] == "no-store"


def test_viewers_are_refused_together(packager: Packager, delivery: Delivery) -> None:
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(delivery.ask, f"{RUN}/index.m3u8?_HLS_msn=99") for _ in range(20)]
        packager.wait(1)
        packager.answer(INDEX, 404)
        assert {future.result()[0].status for future in asked} == {404}
    assert len(packager.asked) < 20  # one, unless the second for which it is remembered is over


def test_where_nothing_new_comes_in_time_players_go_on_with_the_file(
    packager: Packager, delivery: Delivery
) -> None:
    packager.answer(INDEX, 503)
    answer, body = delivery.ask(f"{RUN}/index.m3u8?_HLS_msn=18&_HLS_part=0")
    assert (answer.status, body) == (200, PLAYLIST.encode())
    assert answer.headers["Cache-Control"] == "no-cache"
    # What is remembered is that there was nothing, not the file of that time.
    (delivery.media / "demo/abc123/v720/index.m3u8").write_bytes(NEWS)
    answer, body = delivery.ask(f"{RUN}/index.m3u8?_HLS_msn=18&_HLS_part=0")
    assert (answer.status, body) == (200, NEWS)


def test_without_a_packager_players_go_on_with_the_file(delivery: Delivery) -> None:
    answer, body = delivery.ask(f"{RUN}/index.m3u8?_HLS_msn=18&_HLS_part=0")
    assert (answer.status, body) == (200, PLAYLIST.encode())
    assert answer.headers["Cache-Control"] == "no-cache"
    answer, _ = delivery.ask(f"{RUN}/18.0.m4s")
    assert answer.status == 503
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_packager_that_dies_meanwhile_leaves_the_file(packager: Packager, delivery: Delivery) -> None:
    packager.answer(INDEX, 0)
    answer, body = delivery.ask(f"{RUN}/index.m3u8?_HLS_msn=18")
    assert (answer.status, body) == (200, PLAYLIST.encode())


@pytest.mark.parametrize("settings", [{"delivery_hold_seconds": 1}])
def test_a_packager_that_hangs_is_not_waited_for_for_ever(packager: Packager, delivery: Delivery) -> None:
    answer, body = delivery.ask(f"{RUN}/index.m3u8?_HLS_msn=18")
    assert (answer.status, body) == (200, PLAYLIST.encode())
    assert len(packager.asked) == 1


def test_a_part_that_is_there_does_not_cost_the_packager(packager: Packager, delivery: Delivery) -> None:
    answer, body = delivery.ask(f"{RUN}/17.2.m4s")
    assert (answer.status, len(body)) == (200, 10_000)
    assert packager.asked == []


def test_a_part_that_was_announced_comes_when_it_is_there(packager: Packager, delivery: Delivery) -> None:
    packager.answer("/abc123/v720/18.0.m4s", body=b"part")
    answer, body = delivery.ask(f"{RUN}/18.0.m4s?_HLS_msn=x")  # which means nothing here
    assert (answer.status, body) == (200, b"part")
    assert answer.headers["Cache-Control"] == IMMUTABLE
    assert packager.asked == ["/abc123/v720/18.0.m4s"]


def test_a_part_that_was_refused_is_served_once_it_is_there(packager: Packager, delivery: Delivery) -> None:
    packager.answer("/abc123/v720/18.0.m4s", 404)
    answer, _ = delivery.ask(f"{RUN}/18.0.m4s")
    assert answer.status == 404
    assert answer.headers["Cache-Control"] == "no-store"
    (delivery.media / "demo" / "abc123" / "v720" / "18.0.m4s").write_bytes(b"part")
    assert delivery.ask(f"{RUN}/18.0.m4s")[1] == b"part"


@pytest.mark.parametrize("status", [404, 503])
def test_who_waits_is_not_given_an_old_refusal(packager: Packager, delivery: Delivery, status: int) -> None:
    part = packager.answers["/abc123/v720/18.0.m4s"]
    part.status = status
    part.ready.set()
    assert delivery.ask(f"{RUN}/18.0.m4s")[0].status == status
    part.status, part.body = 200, b"part"
    part.ready.clear()

    def insist() -> int:
        """Ask until the refusal is forgotten, after a second or two."""
        while (answered := delivery.ask(f"{RUN}/18.0.m4s")[0].status) == status:
            time.sleep(0.05)
        return answered

    with ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(insist)]
        packager.wait(2)
        asked += [pool.submit(lambda: delivery.ask(f"{RUN}/18.0.m4s")[0].status) for _ in range(4)]
        time.sleep(0.2)  # they are there, and wait
        part.ready.set()
        assert {future.result() for future in asked} == {200}
    assert len(packager.asked) == 2


def test_a_stream_asks_its_own_packager_only(packager: Packager, delivery: Delivery) -> None:
    packager.answer(INDEX, body=NEWS)
    assert delivery.ask("/hls/other/abc123/v720/index.m3u8?_HLS_msn=18")[0].status == 404
    assert packager.asked == []
