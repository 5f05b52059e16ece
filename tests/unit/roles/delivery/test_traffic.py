"""What delivery tells of each request: to the control service, which counts, and in its log."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from appliance.control.traffic import Traffic

from .conftest import KID, RUN, SESSION, Control, Delivery, Packager

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdHJlYW0iOiJkZW1vIn0.c2lnbmF0dXJl"


def counted(delivery: Delivery, lines: int) -> tuple[Traffic, bytes]:
    """Read so many lines into a Traffic; they are returned too."""
    traffic, all_of_them = Traffic(target_seconds=2), b""
    for _ in range(lines):
        datagram = delivery.traffic.recv(65536)
        traffic.take(datagram)
        all_of_them += datagram
    assert traffic.unreadable == 0, all_of_them
    return traffic, all_of_them


def test_bytes_and_viewers_of_a_stream_that_is_open(delivery: Delivery, packager: Packager) -> None:
    packager.answer("/abc123/v720/index.m3u8", body=b"#EXTM3U\n" * 10)
    for player in ("one", 'two"\\\x7f', "one"):
        for path in ("/hls/demo.m3u8", f"{RUN}/index.m3u8?_HLS_msn=18", f"{RUN}/17.m4s"):
            assert delivery.ask(path, User_Agent=player)[0].status == 200
    assert delivery.ask(f"{RUN}/99.m4s")[0].status == 404
    assert delivery.ask("/hls/nobodys.m3u8")[0].status == 404
    assert delivery.ask("/health")[0].status == 200
    traffic, lines = counted(delivery, 11)  # of /health there is none
    assert traffic.viewers() == {"demo": 2}
    assert traffic.sent["demo", "media"] > 3 * 100_000
    assert traffic.requests["demo", "media", "2xx"] == 3
    assert traffic.requests["demo", "media", "4xx"] == 1
    assert traffic.requests["demo", "reload", "2xx"] == 3
    assert set(traffic.waits) == {"demo"}
    assert b"_HLS" not in lines


def test_who_waits_in_vain_has_waited(delivery: Delivery, packager: Packager) -> None:
    packager.answer("/abc123/v720/index.m3u8", 503)
    for path in ("index.m3u8", "index.m3u8?_HLS_msn=18", "index.m3u8?_HLS_msn=18", "index.m3u8"):
        assert delivery.ask(f"{RUN}/{path}")[0].status == 200
    traffic, _ = counted(delivery, 4)
    assert traffic.requests["demo", "reload", "2xx"] == 2
    assert traffic.requests["demo", "playlist", "2xx"] == 2


@pytest.mark.parametrize("settings", [{"delivery_view_auth": True}])
def test_a_session_is_what_the_control_service_says_and_no_token_is_told(
    delivery: Delivery, control: Control
) -> None:
    control.verdicts[TOKEN] = 204
    for player in ("one", "two"):
        answer, _ = delivery.ask(f"/hls/t/{TOKEN}{RUN.removeprefix('/hls')}/index.m3u8", User_Agent=player)
        assert answer.status == 200
        assert answer.headers["X-Session"] is None  # nor is the viewer told
    assert delivery.ask(f"/hls/t/{TOKEN}/demo/keys/{KID}", Cookie=f"view={TOKEN}")[0].status == 200
    traffic, lines = counted(delivery, 3)
    assert traffic.viewers() == {"demo": 1}
    assert lines.count(SESSION.encode()) == 3
    assert b"eyJ" not in lines
    entry = delivery.logged()
    assert (entry["session"], entry["stream"], entry["epoch"]) == (SESSION, "demo", "")
    assert "eyJ" not in str(entry)


@pytest.mark.parametrize("settings", [{"delivery_access_log": "all"}])
def test_the_log_names_the_streams_life_and_what_was_waited_for(
    delivery: Delivery, packager: Packager
) -> None:
    packager.answer("/abc123/v720/index.m3u8", body=b"#EXTM3U\n" * 10)
    assert delivery.ask(f"{RUN}/index.m3u8?_HLS_msn=18&_HLS_part=0")[0].status == 200
    entry = delivery.logged()
    assert (entry["stream"], entry["epoch"], entry["session"]) == ("demo", "abc123", "")
    assert entry["cache"] == "MISS"
    assert float(entry["upstream_time"]) >= 0


def test_who_counts_may_be_away(delivery: Delivery, tmp_path: Path) -> None:
    delivery.traffic.close()
    (tmp_path / "traffic").unlink()
    for _ in range(3):
        assert delivery.ask("/hls/demo.m3u8")[0].status == 200
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as again:
        again.bind(str(tmp_path / "traffic"))
        again.settimeout(10)
        for _ in range(3):
            assert delivery.ask("/hls/demo.m3u8")[0].status == 200
        assert b'"demo"' in again.recv(65536)
    said = delivery.stderr.read_text().splitlines()
    assert len(said) == 3
    assert all(line.endswith("connect() failed (2: No such file or directory)") for line in said)


def test_who_counts_may_be_slow(delivery: Delivery) -> None:
    """Its queue holds some; nobody waits for the others to be taken."""
    for _ in range(2000):
        assert delivery.ask("/hls/demo.jpg")[0].status == 200
    delivery.traffic.setblocking(False)
    told = 0
    while True:
        try:
            delivery.traffic.recv(65536)
        except BlockingIOError:
            break
        told += 1
    assert 0 < told < 2000
    assert delivery.stderr.read_text() == ""


@pytest.mark.parametrize("settings", [{"delivery_statistics": False}])
def test_nothing_is_told_where_it_is_off(delivery: Delivery) -> None:
    assert delivery.ask("/hls/demo.m3u8")[0].status == 200
    delivery.traffic.setblocking(False)
    with pytest.raises(BlockingIOError):
        delivery.traffic.recv(65536)
