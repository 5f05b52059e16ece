"""FFmpeg in, packager, HTTP, FFmpeg out: what was sent is what plays."""

from __future__ import annotations

import json
import re
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
    MUXER,
    PART_SECONDS,
    X264,
    broadcast,
    flashes,
    now,
    served,
)
from tests.integration.media.package.viewer import FRAME, ffmpeg, flashes_and_beeps

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.media.package.published import Workbench


def package(bench: Workbench, runs: list[float]) -> str:
    """One run for each of `runs` seconds; returns the epoch, which is finished."""
    packager = bench.packager()
    for number, seconds in enumerate(runs):
        packager.begin(ALL, started_at=now())
        with broadcast(flashes(seconds)) as source:
            source.into(packager, seed=number)
        packager.end_run()
    packager.finish()
    return packager.epoch


@pytest.mark.parametrize("variant", [0, 1])
def test_every_variant_plays_in_sync(bench: Workbench, variant: int) -> None:
    bench.check(package(bench, [11]))
    with served(bench) as url:
        lit, loud, pictures = flashes_and_beeps(url, variant)
    assert pictures == 11 * 25
    assert len(lit) == len(loud) == 6
    assert [b - a for a, b in pairwise(lit)] == pytest.approx([2] * 5, abs=0.001)
    skew = [sound - picture for picture, sound in zip(lit, loud, strict=True)]
    assert all(abs(item) <= FRAME / 2 for item in skew), skew


def test_in_sync_after_a_discontinuity(bench: Workbench) -> None:
    playlists = bench.check(package(bench, [5, 4]))
    assert [item.discontinuity for item in playlists["180p"].media] == [False] * 3 + [True, False]
    with served(bench) as url:
        lit, loud, pictures = flashes_and_beeps(url, 0)
    assert pictures == 9 * 25
    assert len(lit) == len(loud) == 5
    skew = [sound - picture for picture, sound in zip(lit, loud, strict=True)]
    assert all(abs(item) <= FRAME / 2 for item in skew), skew


def test_a_viewer_of_the_live_stream(bench: Workbench) -> None:
    packager = bench.packager()
    packager.begin(ALL, started_at=now())
    with served(bench) as url, broadcast(["-re", *flashes(14)[:4], "-re", *flashes(14)[4:]]) as source:
        viewer: subprocess.Popen[str] | None = None
        original = packager.feed

        def feed(rendition: str, data: bytes) -> None:
            nonlocal viewer
            original(rendition, data)
            if packager.playable and viewer is None:
                argv = ["ffmpeg", "-nostdin", "-v", "error", "-i", url, "-t", "5", "-f", "null", "-"]
                viewer = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)

        packager.feed = feed  # type: ignore[method-assign]  # the viewer starts when the stream can be played
        source.into(packager)
        assert viewer is not None
        _, errors = viewer.communicate(timeout=20)
    assert (viewer.returncode, errors) == (0, "")


def test_rungs_agree_and_attributes_are_true(bench: Workbench) -> None:
    playlists = bench.check(package(bench, [9]))
    assert [item.duration for item in playlists["180p"].media] == [2, 2, 2, 2, 1]
    assert [item.duration for item in playlists["90p"].media] == [2, 2, 2, 2, 1]
    assert all(abs(item.duration - 2) < 0.21 for item in playlists["audio"].media[:4])
    with served(bench) as url:
        probed = json.loads(
            subprocess.run(
                ["ffprobe", "-v", "error", "-show_streams", "-of", "json", url],
                capture_output=True, timeout=30, check=True,
            ).stdout
        )  # fmt: skip
    text = bench.multivariant()
    for stream in probed["streams"]:
        if stream["codec_type"] == "video":
            assert f"RESOLUTION={stream['width']}x{stream['height']},FRAME-RATE=25.000" in text
            profile = {"High": "64", "Main": "4d", "Constrained Baseline": "42"}[stream["profile"]]
            assert re.search(rf'CODECS="avc1\.{profile}..{stream["level"]:02x},mp4a\.40\.2"', text)


@pytest.mark.parametrize("rate", ["30000/1001", "50", "60"])
def test_other_frame_rates(bench: Workbench, rate: str) -> None:
    packager = bench.packager()
    packager.begin(ALL, started_at=now())
    with broadcast(flashes(6, rate)) as source:
        source.into(packager)
    packager.finish()
    bench.check(packager.epoch)
    numerator, _, denominator = rate.partition("/")
    assert f"FRAME-RATE={int(numerator) / int(denominator or 1):.3f}" in bench.multivariant()


def test_a_segment_without_its_key_is_noise(bench: Workbench, tmp_path: Path) -> None:
    epoch = package(bench, [4])
    folder = bench.directory / epoch / "180p"
    init = (folder / "init-0.mp4").read_bytes()
    segment = bench.check(epoch)["180p"].media[0]
    cipher = (folder / segment.uri).read_bytes()
    probe = [
        "ffprobe",
        "-v",
        "error",
        "-count_packets",
        "-show_entries",
        "stream=nb_read_packets",
        "-of",
        "csv=p=0",
    ]
    for data, readable in (
        (cipher, False),
        (init + cipher, False),
        (init + bench.clear(epoch, "180p", segment), True),
    ):
        path = tmp_path / "probed.mp4"
        path.write_bytes(data)
        done = subprocess.run([*probe, str(path)], capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode == 0 and done.stdout.strip() == "50") is readable, done


def test_ffmpeg_killed_in_the_middle(bench: Workbench) -> None:
    packager = bench.packager()
    for number, after in enumerate((40_000, 60_000, None)):
        packager.begin(ALL, started_at=now())
        with broadcast(flashes(7)) as source:
            source.into(packager, seed=number, stop_after=after)
        packager.end_run()
        bench.check(packager.epoch)
    packager.finish()
    playlists = bench.check(packager.epoch)
    assert len({item.media[-1].msn for item in playlists.values()}) == 1


def test_a_copied_rung_with_b_frames_beside_an_encoded_one(bench: Workbench, tmp_path: Path) -> None:
    source_file = tmp_path / "source.flv"
    ffmpeg(*flashes(9), *X264, "-bf", "3", "-g", "50", "-c:a", "aac", str(source_file))
    outputs = [
        ["-map", "0:v", "-c:v", "copy", *MUXER],
        ["-map", "0:v", "-vf", "scale=160:90", *X264, "-force_key_frames", "source", *MUXER],
        ["-map", "0:a", "-c:a", "aac", "-ac", "2", *MUXER],
    ]
    packager = bench.packager()
    packager.begin(ALL, started_at=now())
    with broadcast(["-i", str(source_file)], ALL, outputs) as source:
        source.into(packager)
    packager.finish()
    playlists = bench.check(packager.epoch)
    assert [round(item.duration) for item in playlists["180p"].media] == [2, 2, 2, 2, 1]
    assert len(playlists["90p"].media) == len(playlists["audio"].media) == 5
    with served(bench) as url:
        for variant in (0, 1):
            lit, loud, _ = flashes_and_beeps(url, variant)
            skew = [sound - picture for picture, sound in zip(lit, loud, strict=True)]
            assert all(abs(item) <= FRAME for item in skew), skew


@pytest.mark.parametrize("renditions", [(HIGH, LOW), (AUDIO,)])
def test_sources_without_sound_or_without_pictures(bench: Workbench, renditions: tuple[object, ...]) -> None:
    chosen = [item for item in ALL if item in renditions]
    packager = bench.packager()
    packager.begin(chosen, started_at=now())
    with broadcast(flashes(7), chosen) as source:
        source.into(packager)
    packager.finish()
    playlists = bench.check(packager.epoch)
    assert all(len(item.media) == 4 for item in playlists.values())
    with served(bench) as url:
        ffmpeg("-i", url, "-f", "null", "-")


def test_no_forced_keyframes_keep_the_target_duration(bench: Workbench) -> None:
    outputs = [
        ["-map", "0:v", *X264, "-g", "1000", *MUXER],
        ["-map", "0:v", "-vf", "scale=160:90", *X264, *FORCED, *MUXER],
        ["-map", "1:a", "-c:a", "aac", *MUXER],
    ]
    packager = bench.packager()
    packager.begin(ALL, started_at=now())
    with broadcast(flashes(9), ALL, outputs) as source:
        source.into(packager)
    packager.finish()
    playlists = bench.check(packager.epoch)
    assert not playlists["180p"].independent


@pytest.mark.parametrize("rate", ["24000/1001", "25", "30000/1001", "30", "50", "60"])
def test_parts_have_the_length_that_was_promised(bench: Workbench, rate: str) -> None:
    packager = bench.packager()
    packager.begin(ALL, started_at=now())
    with broadcast(flashes(7, rate)) as source:
        source.into(packager)
    packager.finish()
    for playlist in bench.check(packager.epoch).values():
        for segment in playlist.media[-2:]:
            assert segment.parts[0].independent
            for part in segment.parts[:-1]:
                assert 0.85 * PART_SECONDS <= part.duration <= PART_SECONDS, (rate, segment.parts)


def test_parts_of_pictures_that_were_left_out(bench: Workbench) -> None:
    # Whole milliseconds, as RTMP has them, and every seventh picture or so is missing.
    thinned = "select='gt(mod(n,7),0)',settb=1/1000,setpts=round(PTS)"
    outputs = [["-map", "0:v", "-vf", thinned, "-fps_mode", "vfr", "-bf", "0", *X264, *FORCED, *MUXER]]
    packager = bench.packager()
    packager.begin([HIGH], started_at=now())
    with broadcast(flashes(7, "30"), [HIGH], outputs) as source:
        source.into(packager)
    packager.finish()
    playlists = bench.check(packager.epoch)
    assert [round(item.duration, 1) for item in playlists["180p"].media] == [2, 2, 2, 1]
    with served(bench) as url:
        ffmpeg("-i", url, "-f", "null", "-")


def test_parts_decode_as_the_segment_does(bench: Workbench, tmp_path: Path) -> None:
    epoch = package(bench, [5])
    folder = bench.directory / epoch / "180p"
    init = (folder / "init-0.mp4").read_bytes()
    segment = bench.check(epoch)["180p"].media[1]
    hashes = []
    for name, uris in (("parts", [part.uri for part in segment.parts]), ("whole", [segment.uri])):
        path = tmp_path / f"{name}.mp4"
        clear = [bench.clear(epoch, "180p", replace(segment, uri=uri)) for uri in uris]
        path.write_bytes(init + b"".join(clear))
        hashes.append(ffmpeg("-i", str(path), "-f", "framemd5", "-"))
    assert hashes[0] == hashes[1]
    assert hashes[0].count("\n0,") == 50
