"""What becomes of a source: copied or encoded, of whatever tracks, sizes and clocks it is."""

from __future__ import annotations

import asyncio
import re
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.media.stage import MOST_SKEW_MS, Stage

if TYPE_CHECKING:
    from tests.integration.media.conftest import Encode


@pytest.mark.parametrize(
    ("rung", "source"),
    [
        ("480p", {"size": "854x480"}),
        # The smallest rung has half of the frames, and still all keyframes of the source.
        ("720p", {"size": "1280x720", "fps": "60000/1001", "bframes": 2}),
    ],
)
async def test_a_copied_source_and_the_rungs_beside_it_are_one(
    stage: Stage, clip: Encode, rung: str, source: dict[str, Any]
) -> None:
    path = await clip(seconds=20, **source)
    # Measuring takes longer than the clip plays.
    async with stage.session(copy_source="auto", grace_seconds=60.0):
        await stage.publish(path)
        await stage.until_run(0, segments=4)
        await stage.until(lambda: stage.published.count(rung) >= 4)
        assert stage.status["run"] == 1
        assert [each["name"] for each in stage.status["rungs"] if each["copied"]] == [rung]
        copied, encoded = (stage.published.times(name)[:4] for name in (rung, "360p"))
        assert copied == encoded
        assert [seconds for _, seconds in copied] == [pytest.approx(2, abs=0.02)] * 4
        for name in (rung, "360p", "audio"):
            playlist = stage.published.playlist(name)
            match = re.search(r"PART-TARGET=([\d.]+)", playlist)
            parts = [float(seconds) for seconds in re.findall(r"#EXT-X-PART:.*?DURATION=([\d.]+)", playlist)]
            assert match is not None
            assert len(parts) > 8
            assert max(parts) <= float(match[1])
        assert await stage.skew(rung=rung) < MOST_SKEW_MS
        assert await stage.skew(rung="360p") < MOST_SKEW_MS


async def test_a_source_with_few_keyframes_is_encoded_from_where_one_was_missing(
    stage: Stage, clip: Encode
) -> None:
    path = await clip(size="854x480", seconds=20, gop_s=4, bframes=2)
    async with stage.session(copy_source="auto"):
        await stage.publish(path)
        await stage.until_run(1, segments=4)
        assert stage.status["run"] == 2
        assert stage.status["last_ending"] == (
            "the source cannot be copied any longer: its keyframes are more than 2.1 s apart"
        )
        assert [rung["copied"] for rung in stage.status["rungs"]] == [False, False]
        for name in ("480p", "360p"):
            begins, lengths = zip(*stage.published.times(name), strict=True)
            assert all(length < 2.5 for length in lengths)
            # Nothing is shown twice, nothing is missing: each segment begins where the one before ends.
            holes = [
                (later - begin).total_seconds() - length
                for begin, later, length in zip(begins, begins[1:], lengths, strict=False)
            ]
            assert max(map(abs, holes)) < 0.1, holes
        assert await stage.skew(1) < MOST_SKEW_MS


async def test_each_stream_has_a_thumbnail(stage: Stage, clip: Encode) -> None:
    path = await clip(size="854x480", seconds=30)
    thumbnail = stage.root / "demo" / "thumbnail.jpg"
    async with stage.session(copy_source="auto"):
        await stage.publish(path)
        await stage.until(thumbnail.exists, seconds=8)
        first = thumbnail.read_bytes()
        assert first[:2] == b"\xff\xd8"
        assert first[-2:] == b"\xff\xd9"
        assert first.find(b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", 360, 640)) > 0
        written = thumbnail.stat().st_mtime_ns
        await stage.until(lambda: thumbnail.stat().st_mtime_ns != written, seconds=15)
        # No rung waits for the thumbnails.
        assert stage.published.count("360p") >= 3


async def test_a_host_that_is_too_slow_gives_up_the_largest_encoded_rung(
    stage: Stage, tmp_path: Path
) -> None:
    """Its FFmpeg gets no more than half of the 2 Mb/s that arrive."""
    slow = tmp_path / "slow-ffmpeg"
    throttle = (
        "import os, time\n"
        "os.closerange(3, 256)\n"  # the outputs are FFmpeg's alone
        "while data := os.read(0, 4096):\n"
        "    os.write(1, data)\n"
        "    time.sleep(len(data) / 125000)\n"
    )
    text = f"#!/bin/bash\nexec ffmpeg \"$@\" < <(exec {sys.executable} -c '{throttle}' 2>/dev/null)\n"
    slow.write_text(text, encoding="utf-8")
    slow.chmod(0o755)
    rate = ("-b:v", "2M", "-minrate", "2M", "-maxrate", "2M", "-bufsize", "2M", "-x264-params", "nal-hrd=cbr")
    encoder = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "25", *rate)
    async with stage.session(ffmpeg=str(slow), encoder="x264"):
        await stage.ingest.publish("demo", "-re", "-f", "lavfi", "-i", "testsrc2=s=854x480:r=25", *encoder)
        await stage.until(lambda: stage.status.get("dropped_rungs"), seconds=40)
        assert [rung["name"] for rung in stage.status["dropped_rungs"]] == ["480p"]
        await stage.until(lambda: stage.status["run"] == 2)
        assert re.fullmatch(
            r"encoding ran at 0\.\d\d of real time: the rung 480p is given up", stage.status["last_ending"]
        )
        assert [rung["name"] for rung in stage.status["rungs"]] == ["360p"]


async def test_joining_between_keyframes_keeps_sound_and_picture_together(stage: Stage, clip: Encode) -> None:
    await stage.publish(await clip(seconds=20, gop_s=3, bframes=2))
    await asyncio.sleep(1.2)  # the join must fall between two keyframes
    async with stage.session():
        await stage.until(lambda: stage.published.count("360p") >= 3)
        assert await stage.skew() < MOST_SKEW_MS


async def test_joining_between_keyframes_without_metadata_begins_with_both_tracks(
    stage: Stage, clip: Encode
) -> None:
    path = await clip(seconds=20, gop_s=3)
    await stage.ingest.publish("demo", "-re", "-i", str(path), "-c", "copy", "-flvflags", "no_metadata")
    await asyncio.sleep(1.2)  # the join must fall between two keyframes
    async with stage.session():
        await stage.until_run(0, segments=1)
        await stage.until(lambda: stage.status.get("rungs"))
        assert stage.status["run"] == 1


async def _publish_apart(stage: Stage, clip: Path, offset_ms: int) -> None:
    """Publishes `clip`, its sound stamped `offset_ms` later; what was sent together still is."""
    stage.source = clip
    track, later = ("a", offset_ms) if offset_ms > 0 else ("v", -offset_ms)
    stamps = (f"-bsf:{track}", f"setts=ts=TS+{later}", "-max_interleave_delta", "1")
    await stage.ingest.publish("demo", "-re", "-i", str(clip), "-c", "copy", *stamps)


@pytest.mark.parametrize("offset_ms", [5000, -5000])
async def test_sound_that_is_stamped_otherwise_is_played_where_it_says(
    stage: Stage, clip: Encode, offset_ms: int
) -> None:
    """Flashes and beeps stand at whole seconds, so they still meet, five seconds of the clip apart."""
    async with stage.session():
        await _publish_apart(stage, await clip(seconds=30), offset_ms)
        await stage.until_run(0, segments=4)
        assert stage.status["run"] == 1
        assert await stage.skew() < MOST_SKEW_MS


async def test_sound_of_another_clock_is_played_with_what_it_arrives_with(stage: Stage, clip: Encode) -> None:
    async with stage.session():
        await _publish_apart(stage, await clip(seconds=30), 3_600_000)
        await stage.until_run(0, segments=4)
        assert stage.status["run"] == 1
        assert await stage.skew() < 200


async def test_a_source_that_jumps_at_each_keyframe_costs_few_ffmpegs(stage: Stage, clip: Encode) -> None:
    path = await clip(seconds=20, gop_s=0.5)
    jumps = "setts=ts=TS+floor(N/15)*90000:time_base=1/1000"
    async with stage.session():
        await stage.ingest.publish(
            "demo", "-re", "-i", str(path), "-map", "0:v", "-c", "copy", "-bsf:v", jumps
        )
        await stage.until(lambda: stage.status.get("run", 0) >= 2)
        begun = stage.status["run"]
        await asyncio.sleep(6)  # that nothing happens has no event
        print(f"{stage.status['run'] - begun} runs in 6 s of a jump each half second")
        assert stage.status["run"] - begun <= 5


@pytest.mark.parametrize(("kind", "rendition"), [("video", "360p"), ("audio", "audio")])
async def test_a_source_with_one_track_starts_quickly(
    stage: Stage, clip: Encode, kind: str, rendition: str
) -> None:
    path = await clip(seconds=12, video=kind == "video", audio=kind == "audio")
    async with stage.session():
        await stage.publish(path)
        took = await stage.until(lambda: stage.published.count(rendition) >= 1)
        print(f"{kind} only: first segment after {took:.2f} s")
        assert took < 5
        assert stage.published.renditions == [rendition]


async def test_surround_sound_and_high_frame_rates(stage: Stage, clip: Encode) -> None:
    path = await clip(fps="60000/1001", channels=6, seconds=12)
    async with stage.session():
        await stage.publish(path)
        await stage.until(lambda: stage.published.count("360p") >= 3)
        assert await stage.skew() < MOST_SKEW_MS
        assert stage.status["source"]["audio"]["channels"] == 6
        assert 'CHANNELS="2"' in stage.published.multivariant


async def test_a_codec_that_is_not_taken_is_refused_with_its_name(stage: Stage, clip: Encode) -> None:
    source = await clip(seconds=12)
    async with stage.session(grace_seconds=4.0):
        publisher = await stage.ingest.publish(
            "demo", "-re", "-i", str(source), "-c:v", "flv1", "-c:a", "copy"
        )
        (stage.root / "demo").mkdir(exist_ok=True)
        await stage.until(lambda: "refused" in stage.status.get("reason", ""))
        assert stage.status["state"] == "waiting"
        assert "video is H.263, allowed is H.264" in stage.status["reason"]
        assert [alert["name"] for alert in stage.status["alerts"]] == ["source_refused"]
        publisher.terminate()
        await stage.until(lambda: stage.status["reason"] == "the publisher has left")
        assert not stage.published.multivariant
