"""What is made of streams: their status, their playlists, their segments."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import algorithms

from appliance.control.stat import StatUnavailableError
from appliance.health.finding import Finding, Severity
from appliance.health.stream import judge_encoder, judge_status
from appliance.media.package.encryption import encrypt, new_iv
from appliance.media.status_reading import Reading
from appliance.names import StreamName, stream_unit
from appliance.ops.doctor import streams
from appliance.ops.doctor.host import Host
from appliance.ops.doctor.media import decrypt, judge_media, judge_size
from appliance.ops.doctor.playlist import PlaylistError, read_media, read_variants
from appliance.ops.doctor.streams import judge_published
from appliance.ops.doctor.units import Unit
from tests.support import status_file

DEMO = StreamName("demo")
NOW = 1_767_225_600.0
UP = 1000.0


def said(findings: list[Finding]) -> list[str]:
    return [finding.what for finding in findings]


def quiet(**change: Any) -> Reading:
    """Return the status of a live stream that nothing ails, and what a test changes of it."""
    content = status_file.content(NOW) | {"alerts": [], "dropped_rungs": [], "speed": 1.0, "behind": 0.1}
    return Reading(content | change)


def test_a_stream_that_nothing_ails_is_no_finding() -> None:
    assert judge_status(DEMO, quiet(), NOW, segment_seconds=2) == []


def test_an_alert_is_a_finding_with_what_mends_it_and_one_that_is_over_is_none() -> None:
    status = Reading(status_file.content(NOW))
    raised = [item for item in status.items("alerts") if not item.flag("over")]
    findings = judge_status(DEMO, status, NOW, segment_seconds=2)
    assert len([one for one in findings if one.what.startswith("stream demo: ")]) == len(raised)
    assert "encoding is slower than the source" in findings[0].what
    assert findings[0].severity is Severity.WARNING
    assert "top" in findings[0].mend


def test_ffmpeg_that_is_slow_is_told_before_it_is_an_alert() -> None:
    [slow] = judge_status(DEMO, quiet(speed=0.8, behind=4.0), NOW, segment_seconds=2)
    assert slow.seen == "it takes 80 % of what it is given, and is 4.0 s behind"
    assert judge_status(DEMO, quiet(speed=0.8, behind=0.5), NOW, segment_seconds=2) == []


@pytest.mark.parametrize(
    ("count", "last", "seen"),
    [
        (1, "2001-01-01T10:00:00.123+00:00", "2 % free (once, at 2001-01-01; over when 60 s pass without)"),
        (3, "2001-01-02T10:00:00.123+00:00", "(3 times since 2001-01-01, the last time at 2001-01-02; over"),
    ],
)
def test_when_an_alert_was_raised_is_said_as_people_read_it(count: int, last: str, seen: str) -> None:
    alert = {"name": "storage_full", "value": "2 % free", "count": count, "over": False, "last": last}
    alert["since"] = "2001-01-01T10:00:00.123+00:00"
    [finding] = judge_status(DEMO, quiet(alerts=[alert]), NOW, segment_seconds=2)
    assert seen in finding.seen
    assert judge_status(DEMO, quiet(alerts=[alert | {"over": True}]), NOW, segment_seconds=2) == []


def test_a_live_stream_without_a_new_segment() -> None:
    [stale] = judge_status(DEMO, quiet(), NOW + 20, segment_seconds=2)
    assert (stale.what, stale.severity) == ("stream demo makes no segments", Severity.CRITICAL)
    assert judge_status(DEMO, quiet(state="waiting"), NOW + 20, segment_seconds=2) == []


def unit(state: str, sub: str = "running", seconds: float = 60) -> dict[str, Unit]:
    """Return the stream's unit, in that state since `seconds` before UP."""
    since = str(int((UP - seconds) * 1e6))
    properties = {"ActiveState": state, "SubState": sub, "StateChangeTimestampMonotonic": since}
    return {stream_unit(DEMO): Unit(stream_unit(DEMO), properties)}


def test_a_publisher_without_a_process() -> None:
    assert judge_published(DEMO, unit("active"), quiet(), NOW, UP) == []
    for units in ({}, unit("failed", "failed")):
        found = said(judge_published(DEMO, units, None, NOW, UP))
        assert found == ["stream demo is published, and no process takes it"]


@pytest.mark.parametrize(
    ("units", "status", "seen"),
    [
        (unit("active"), quiet(updated="2025-12-31T23:59:00+00:00"), "its status is 60 s old"),
        (unit("active"), None, "it wrote no status"),
        (unit("activating", "start"), None, "it wrote no status"),
        (unit("active", seconds=5), None, None),  # it starts
        (unit("active", seconds=5), quiet(updated="2025-12-31T23:59:00+00:00"), None),  # the last one's
        (unit("activating", "auto-restart"), None, None),  # the check `units` says it
        (unit("deactivating", "stop-sigterm"), None, None),
    ],
)
async def test_a_process_that_writes_no_status(
    units: dict[str, Unit], status: Reading | None, seen: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [] if seen is None else [("the process of stream demo hangs", f"{seen}; it writes two a second")]
    found = judge_published(DEMO, units, status, NOW, UP)
    assert [(one.what, one.seen) for one in found] == wanted

    async def given(*_: Any) -> Any:
        return units

    async def unpublished(*_: Any) -> Any:
        raise StatUnavailableError("no answer")

    host = Host()
    monkeypatch.setattr(host, "_read_statuses", lambda: {} if status is None else {DEMO: status})
    monkeypatch.setattr(streams, "ask_units", given)
    monkeypatch.setattr(streams, "ingest_stat", unpublished)
    monkeypatch.setattr(streams, "time", SimpleNamespace(time=lambda: NOW, monotonic=lambda: UP))
    assert [(one.what, one.seen) for one in await streams.streams(host)] == wanted


def test_another_encoder_than_the_one_that_was_asked_for() -> None:
    assert judge_encoder(DEMO, quiet(), "auto") == judge_encoder(DEMO, quiet(), "x264") == []
    [finding] = judge_encoder(DEMO, quiet(), "nvenc")
    assert finding.what == "stream demo has another encoder"
    assert "encoder: auto" in finding.mend
    for state in ("waiting", "ended"):
        assert judge_encoder(DEMO, quiet(state=state), "nvenc") == []
    [finding] = judge_encoder(DEMO, quiet(encoder={"family": "nvenc", "reason": "it was"}), "x264")
    assert finding.mend.endswith("appliance streams drop demo")


MULTIVARIANT = """\
#EXTM3U
#EXT-X-VERSION:6
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-STREAM-INF:BANDWIDTH=1623000,AVERAGE-BANDWIDTH=1402000,CODECS="avc1.42c01f,mp4a.40.2",RESOLUTION=1280x720
demo/mwwp6ato/720p/index.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=823000,CODECS="avc1.42c01f,mp4a.40.2",RESOLUTION=854x480
demo/mwwp6ato/480p/index.m3u8
"""
MEDIA = """\
#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:10
#EXT-X-MAP:URI="init-1.mp4"
#EXT-X-KEY:METHOD=AES-128,URI="/hls/demo/keys/1-0f",IV=0x000102030405060708090a0b0c0d0e0f
#EXT-X-PROGRAM-DATE-TIME:2025-12-31T23:59:56.000Z
#EXTINF:2.000000,
10.m4s
#EXT-X-PROGRAM-DATE-TIME:2025-12-31T23:59:58.000Z
#EXTINF:2.000000,
11.m4s
#EXT-X-PART:DURATION=0.2,URI="12.0.m4s"
"""
AT = "http://127.0.0.1:8080/hls/demo/mwwp6ato/720p/index.m3u8"


def test_a_playlist_is_read_as_far_as_it_is_needed() -> None:
    variants = read_variants(MULTIVARIANT, "http://127.0.0.1:8080/hls/t/a.b.c/demo.m3u8")
    assert [one.bandwidth for one in variants] == [1_623_000, 823_000]
    assert variants[1].url == "http://127.0.0.1:8080/hls/t/a.b.c/demo/mwwp6ato/480p/index.m3u8"
    media = read_media(MEDIA, AT)
    assert (media.target, media.segments, media.gaps, media.longest, media.ended) == (2, 2, 0, 2.0, False)
    newest = media.newest
    assert newest
    assert newest.url == AT.replace("index.m3u8", "11.m4s")
    assert newest.map_url == AT.replace("index.m3u8", "init-1.mp4")
    assert newest.key_url == "http://127.0.0.1:8080/hls/demo/keys/1-0f"
    assert newest.iv == bytes(range(16))
    assert newest.starts_at == datetime(2025, 12, 31, 23, 59, 58, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("text", ["", "<html>", "#EXTM3U\n"])
def test_what_is_no_playlist_is_refused(text: str) -> None:
    with pytest.raises(PlaylistError):
        read_variants(text, AT)
    with pytest.raises(PlaylistError):
        read_media(text, AT)


def test_a_segment_that_is_not_there_is_not_the_newest() -> None:
    media = read_media(
        MEDIA.replace("11.m4s", "11.m4s").replace("2.000000,\n11", "2.000000,\n#EXT-X-GAP\n11"), AT
    )
    assert media.gaps == 1
    assert media.newest
    assert media.newest.url.endswith("/10.m4s")


def test_playlists_are_fresh_and_keep_to_their_target() -> None:
    fresh = read_media(MEDIA, AT)
    assert judge_media(DEMO, [fresh, fresh], NOW + 1) == []
    assert said(judge_media(DEMO, [fresh, fresh], NOW + 30)) == ["the playlist of stream demo is not fresh"]
    assert judge_media(DEMO, [read_media(MEDIA + "#EXT-X-ENDLIST\n", AT)], NOW + 30) == []
    long = read_media(MEDIA.replace("2.000000,\n11", "2.900000,\n11"), AT)
    assert said(judge_media(DEMO, [fresh, long], NOW + 1)) == ["segments of stream demo are too long"]
    other = read_media(MEDIA.replace("TARGETDURATION:2", "TARGETDURATION:4"), AT)
    assert said(judge_media(DEMO, [fresh, other], NOW + 1)) == ["the variants of stream demo differ"]
    empty = read_media(MEDIA.replace("2.000000,\n", "2.000000,\n#EXT-X-GAP\n"), AT)
    assert said(judge_media(DEMO, [empty], NOW + 1)) == ["the playlist of stream demo is not fresh"]


def test_a_segment_is_as_large_as_the_playlist_promises() -> None:
    assert judge_size(DEMO, 250_000, 2.0, 1_000_000) == []
    [large] = judge_size(DEMO, 600_000, 2.0, 1_000_000)
    assert large.seen == "2400 kbit/s in one segment, the playlist promises 1000"


def test_what_the_packager_encrypts_is_decrypted_and_nothing_else() -> None:
    key, iv = bytes(range(16)), new_iv()
    assert algorithms.AES(key).key_size == 128
    assert decrypt(encrypt(b"moof" * 100, key, iv), key, iv) == b"moof" * 100
    with pytest.raises(ValueError, match=r"."):
        decrypt(b"no block", key, iv)
