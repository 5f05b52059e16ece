"""FFmpeg in, packager, HTTP, FFmpeg out with Transport Streams; the viewer has nothing to complain about."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.integration.media.package.conftest import (
    ALL,
    AUDIO,
    FORCED,
    HIGH,
    LOW,
    MOVFLAGS,
    MUXER,
    X264,
    broadcast,
    flashes,
    now,
    served,
)
from tests.integration.media.package.viewer import FRAME, ffmpeg, flashes_and_beeps
from tests.support.transport_stream import ADTS, AVC, Reader, nal_types
from tests.unit.media.package.published import options

if TYPE_CHECKING:
    from tests.unit.media.package.published import Workbench

# As the session runs it: parameter sets before each keyframe, frames of sound one by one.
REPEATED = ["-bsf:v", "dump_extra=freq=keyframe"]
SOUND = ["-c:a", "aac", "-ac", "2", "-movflags", MOVFLAGS, "-frag_duration", "1", "-f", "mp4"]
OUTPUTS = {
    HIGH: ["-map", "0:v", *X264, *REPEATED, *FORCED, *MUXER],
    LOW: ["-map", "0:v", "-vf", "scale=160:90", "-bf", "0", *X264, *REPEATED, *FORCED, *MUXER],
    AUDIO: ["-map", "1:a", *SOUND],
}


@pytest.fixture
def bench(bench: Workbench) -> Workbench:
    bench.options = options(rotation=4, container="mpegts")
    return bench


def package(
    bench: Workbench,
    inputs: list[list[str]],
    *,
    outputs: list[list[str]] | None = None,
    stop_after: int | None = None,
) -> str:
    """One run for each of `inputs`, all but the last killed after `stop_after` bytes; returns the epoch."""
    packager = bench.packager()
    for number, source in enumerate(inputs):
        packager.begin(ALL, started_at=now())
        with broadcast(source, ALL, outputs or list(OUTPUTS.values())) as running:
            last = number == len(inputs) - 1
            running.into(packager, seed=number, stop_after=None if last else stop_after)
        packager.end_run()
    packager.finish()
    return packager.epoch


def skew(lit: list[float], loud: list[float]) -> float:
    return max(abs(sound - picture) for picture, sound in zip(lit, loud, strict=True))


@pytest.mark.parametrize("variant", [0, 1])
def test_every_variant_plays_in_sync_over_runs(bench: Workbench, variant: int) -> None:
    playlists = bench.check(package(bench, [flashes(5), flashes(4)]))
    assert [item.discontinuity for item in playlists["180p"].segments] == [False] * 3 + [True, False]
    with served(bench) as url:
        lit, loud, pictures = flashes_and_beeps(url, variant, sound=variant, level="warning")
    assert pictures == 9 * 25
    assert len(lit) == len(loud) == 5
    assert skew(lit, loud) <= FRAME / 2


def test_rungs_are_cut_at_the_same_times_and_have_the_same_sound(bench: Workbench) -> None:
    epoch = package(bench, [flashes(9)])
    found = {}
    for name, playlist in bench.check(epoch).items():
        reader = Reader()
        found[name] = [reader.read(bench.clear(epoch, name, item)) for item in playlist.segments]
    assert set(found) == {"180p", "90p"}
    assert len(found["180p"]) == len(found["90p"]) == 5
    for high, low in zip(*found.values(), strict=True):
        for program in (high, low):
            first = program.units[0]
            assert (first.stream_type, first.random_access) == (AVC, True)
            assert nal_types(first.data)[:3] == [9, 7, 8]
            assert 5 in nal_types(first.data)
        assert high.units[0].presented == low.units[0].presented
        assert [(item.presented, item.data) for item in high.of(ADTS)] == [
            (item.presented, item.data) for item in low.of(ADTS)
        ]
        # Half a frame of sound, which lasts 21 ms.
        assert abs(high.of(ADTS)[0].presented - high.units[0].presented) <= 960
    starts = [program.of(ADTS)[0].presented for program in found["180p"]]
    assert [later - earlier for earlier, later in pairwise(starts)] == pytest.approx([180_000] * 4, abs=1920)


def test_attributes_are_true(bench: Workbench) -> None:
    package(bench, [flashes(5)])
    probe = ["ffprobe", "-v", "warning", "-show_streams", "-of", "json"]
    with served(bench) as url:
        done = subprocess.run([*probe, url], capture_output=True, text=True, timeout=30, check=True)
    assert not done.stderr
    text = bench.multivariant()
    streams = json.loads(done.stdout)["streams"]
    assert sorted(item["codec_type"] for item in streams) == ["audio", "audio", "video", "video"]
    for stream in streams:
        if stream["codec_type"] == "video":
            assert f"RESOLUTION={stream['width']}x{stream['height']},FRAME-RATE=25.000" in text
            assert f'{stream["level"]:02x},mp4a.40.2"' in text
        else:
            assert (stream["codec_name"], stream["sample_rate"], stream["channels"]) == ("aac", "48000", 2)


def test_a_copied_rung_with_b_frames_beside_an_encoded_one(bench: Workbench) -> None:
    source = bench.root / "source.flv"
    ffmpeg(*flashes(9), *X264, "-bf", "3", "-g", "50", "-c:a", "aac", str(source))
    keyframes = ["-fps_mode", "vfr", "-force_key_frames", "source"]
    outputs = [
        ["-map", "0:v", "-c:v", "copy", "-bsf:v", "h264_mp4toannexb", *MUXER],
        ["-map", "0:v", "-vf", "scale=160:90", *X264, *REPEATED, *keyframes, *MUXER],
        ["-map", "0:a", *SOUND],
    ]
    epoch = package(bench, [["-i", str(source)]], outputs=outputs)
    for name, playlist in bench.check(epoch).items():
        assert [round(item.duration) for item in playlist.segments] == [2, 2, 2, 2, 1]
        reader = Reader()
        found = [reader.read(bench.clear(epoch, name, item)) for item in playlist.segments]
        assert [len(item.of(AVC)) for item in found] == [50, 50, 50, 50, 25]
    with served(bench) as url:
        for variant in (0, 1):
            lit, loud, _ = flashes_and_beeps(url, variant, sound=variant, level="warning")
            assert skew(lit, loud) <= FRAME


def test_ffmpeg_killed_in_the_middle(bench: Workbench) -> None:
    package(bench, [flashes(7)] * 3, stop_after=50_000)
    with served(bench) as url:
        ffmpeg("-i", url, "-map", "0:v:0", "-map", "0:a:0", "-f", "null", "-")


@pytest.mark.parametrize("kept", [(HIGH, LOW), (AUDIO,)])
def test_pictures_alone_and_sound_alone(bench: Workbench, kept: tuple[object, ...]) -> None:
    chosen = [item for item in ALL if item in kept]
    packager = bench.packager()
    packager.begin(chosen, started_at=now())
    with broadcast(flashes(7), chosen, [OUTPUTS[item] for item in chosen]) as source:
        source.into(packager)
    packager.finish()
    playlists = bench.check(packager.epoch)
    assert all(len(item.segments) == 4 for item in playlists.values())
    with served(bench) as url:
        ffmpeg("-i", url, "-f", "null", "-", level="warning")


def test_a_segment_without_its_key_is_noise(bench: Workbench) -> None:
    epoch = package(bench, [flashes(4)])
    segment = bench.check(epoch)["180p"].segments[0]
    clear, cipher = (bench.clear(epoch, "180p", item) for item in (segment, replace(segment, key_uri=None)))
    assert set(clear[::188]) == {0x47}
    assert len(set(cipher[::188])) > 50
