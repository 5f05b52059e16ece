"""Playlists against golden text."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from appliance.media.package.multivariant import (
    AudioRendition,
    MultivariantPlaylist,
    Variant,
    render_multivariant,
)
from appliance.media.package.playlist import Key, MediaPlaylist, Segment, render_media

NOON = datetime(2026, 1, 2, 12, 0, 0, 120_000, tzinfo=UTC)


def segment(number: int, **changes: object) -> Segment:
    plain = Segment(
        uri=f"{number}.m4s",
        duration=2.002,
        starts_at=(NOON + timedelta(seconds=2 * number)).timestamp(),
        map_uri="init-0.mp4",
        key=Key("../../keys/1-aa", bytes([number]).hex() * 16),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]  # a test's shorthand


def test_live_playlist() -> None:
    text = render_media(MediaPlaylist(2, 7, 1, (segment(7), segment(8))))
    assert text == (
        "#EXTM3U\n"
        "#EXT-X-VERSION:7\n"
        "#EXT-X-TARGETDURATION:2\n"
        "#EXT-X-MEDIA-SEQUENCE:7\n"
        "#EXT-X-DISCONTINUITY-SEQUENCE:1\n"
        "#EXT-X-INDEPENDENT-SEGMENTS\n"
        '#EXT-X-MAP:URI="init-0.mp4"\n'
        '#EXT-X-KEY:METHOD=AES-128,URI="../../keys/1-aa",IV=0x07070707070707070707070707070707\n'
        "#EXT-X-PROGRAM-DATE-TIME:2026-01-02T12:00:14.120Z\n"
        "#EXTINF:2.002000,\n"
        "7.m4s\n"
        '#EXT-X-KEY:METHOD=AES-128,URI="../../keys/1-aa",IV=0x08080808080808080808080808080808\n'
        "#EXT-X-PROGRAM-DATE-TIME:2026-01-02T12:00:16.120Z\n"
        "#EXTINF:2.002000,\n"
        "8.m4s\n"
    )


def test_the_version_is_the_lowest_that_has_what_is_used() -> None:
    stream = [segment(number, uri=f"{number}.ts", map_uri=None) for number in range(2)]
    text = render_media(MediaPlaylist(2, 0, 0, tuple(stream)))
    assert text.startswith("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n")
    assert "EXT-X-MAP" not in text
    stream[1] = segment(1, uri="1.ts", map_uri=None, gap=True)
    assert "#EXT-X-VERSION:8\n" in render_media(MediaPlaylist(2, 0, 0, tuple(stream)))


def test_another_map_stands_outside_the_key() -> None:
    text = render_media(
        MediaPlaylist(2, 0, 0, (segment(0), segment(1, map_uri="init-1.mp4", discontinuity=True)), ended=True)
    )
    assert text.endswith(
        "0.m4s\n"
        "#EXT-X-DISCONTINUITY\n"
        "#EXT-X-KEY:METHOD=NONE\n"
        '#EXT-X-MAP:URI="init-1.mp4"\n'
        '#EXT-X-KEY:METHOD=AES-128,URI="../../keys/1-aa",IV=0x01010101010101010101010101010101\n'
        "#EXT-X-PROGRAM-DATE-TIME:2026-01-02T12:00:02.120Z\n"
        "#EXTINF:2.002000,\n"
        "1.m4s\n"
        "#EXT-X-ENDLIST\n"
    )


def test_gap_and_dependent_segments() -> None:
    text = render_media(MediaPlaylist(2, 0, 0, (segment(0, gap=True, key=None),), independent=False))
    assert text == (
        "#EXTM3U\n"
        "#EXT-X-VERSION:8\n"
        "#EXT-X-TARGETDURATION:2\n"
        "#EXT-X-MEDIA-SEQUENCE:0\n"
        "#EXT-X-DISCONTINUITY-SEQUENCE:0\n"
        '#EXT-X-MAP:URI="init-0.mp4"\n'
        "#EXT-X-PROGRAM-DATE-TIME:2026-01-02T12:00:00.120Z\n"
        "#EXT-X-GAP\n"
        "#EXTINF:2.002000,\n"
        "0.m4s\n"
    )


def test_clear_segments_have_no_key() -> None:
    text = render_media(MediaPlaylist(2, 0, 0, (segment(0, key=None), segment(1, key=None))))
    assert "EXT-X-KEY" not in text
    assert "METHOD=NONE" in render_media(MediaPlaylist(2, 0, 0, (segment(0), segment(1, key=None))))


def test_multivariant() -> None:
    text = render_multivariant(
        MultivariantPlaylist(
            variants=(
                Variant(
                    "demo/e/720p/index.m3u8", 2_500_000, 2_100_000, ("avc1.64001f", "mp4a.40.2"),
                    (1280, 720), 30000 / 1001, audio=True,
                ),
            ),
            audio=(AudioRendition("audio", "demo/e/audio/index.m3u8", 2),),
        )
    )  # fmt: skip
    assert text == (
        "#EXTM3U\n"
        "#EXT-X-VERSION:7\n"
        "#EXT-X-INDEPENDENT-SEGMENTS\n"
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="audio",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",'
        'URI="demo/e/audio/index.m3u8"\n'
        '#EXT-X-STREAM-INF:BANDWIDTH=2500000,AVERAGE-BANDWIDTH=2100000,CODECS="avc1.64001f,mp4a.40.2",'
        'RESOLUTION=1280x720,FRAME-RATE=29.970,AUDIO="audio"\n'
        "demo/e/720p/index.m3u8\n"
    )


def test_sound_alone() -> None:
    text = render_multivariant(MultivariantPlaylist((Variant("a.m3u8", 130_000, 128_000, ("mp4a.40.2",)),)))
    assert text.endswith(
        '#EXT-X-STREAM-INF:BANDWIDTH=130000,AVERAGE-BANDWIDTH=128000,CODECS="mp4a.40.2"\na.m3u8\n'
    )
