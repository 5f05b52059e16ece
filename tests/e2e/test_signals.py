"""Whatever a real encoder sends comes out as it went in: pictures, frame numbers, sound, and both in step."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support import lip_sync, pictures, player
from tests.support.encoder import Publisher, Signal
from tests.support.playlists import Multivariant, media_problems, multivariant_problems
from tests.support.site import SIGNAL_STREAMS, Site

SEGMENTS = 3
AT_ONCE = 2

SIGNALS = {
    "25 fps": Signal(rate="25"),
    "29.97 fps": Signal(rate="30000/1001"),
    "50 fps": Signal(rate="50"),
    "60 fps": Signal(rate="60"),
    "5.1 sound": Signal(rate="25", channels=6),
    "mono": Signal(rate="25", channels=1),
    "video only": Signal(rate="25", channels=0),
    "audio only": Signal(video=False),
    "several rungs": Signal(width=854, height=480, rate="30"),
}


def check_pictures(file: Path, sent: Signal, shown_fps: float) -> list[pictures.Picture]:
    """See that every picture is one that was sent, in order, none missing, at its time."""
    seen = pictures.read_pictures(file)
    numbers = [picture.number for picture in seen]
    assert None not in numbers, (
        f"unreadable pictures at {[i for i, n in enumerate(numbers) if n is None][:20]}"
    )
    step = float(sent.fps) / shown_fps
    steps = [after - before for before, after in pairwise(n for n in numbers if n is not None)]
    assert all(abs(found - step) < 1.01 for found in steps), f"pictures are missing or repeated: {numbers}"
    assert all(found > 0 for found in steps), f"pictures stand still or go back: {numbers}"
    # a picture is shown when it was sent, to within the millisecond of RTMP's time stamps and one frame of a
    # rung that shows fewer frames
    offsets = [picture.time - (picture.number or 0) / float(sent.fps) for picture in seen]
    slack = 0.003 if step == pytest.approx(1) else 1 / shown_fps
    assert max(offsets) - min(offsets) < slack, f"pictures move by {max(offsets) - min(offsets):.4f} s"
    return seen


@dataclass
class Played:
    """What came out of one signal."""

    listed: Multivariant
    variants: list[player.Recording]
    sound: player.Recording | None


def _play(site: Site, stream: str, folder: Path, sent: Signal) -> Played:
    with Publisher(site.rtmp(stream), sent):
        listed = player.wait_for(site.hls(stream), segments=SEGMENTS, seconds=40)
        assert multivariant_problems(listed) == []
        numbers = range(player.media(listed.variants[0].url).last + 1)
        recordings = [
            player.record(variant.url, folder / f"variant-{index}", numbers)
            for index, variant in enumerate(listed.variants)
        ]
        audio = listed.audio_url
        if audio is not None:
            player.wait_for_number(audio, numbers[-1])
        return Played(listed, recordings, player.record(audio, folder / "audio", numbers) if audio else None)


@pytest.fixture(scope="module")
def played(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Played]]]:
    """Publish all signals, AT_ONCE of them at the same time: each takes its time, which is mostly waiting."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            name: pool.submit(_play, site, stream, tmp_path_factory.mktemp("played"), sent)
            for (name, sent), stream in zip(SIGNALS.items(), SIGNAL_STREAMS, strict=True)
        }


@pytest.mark.parametrize("name", SIGNALS)
def test_plays_as_sent(tmp_path: Path, played: dict[str, Future[Played]], name: str) -> None:
    sent, came = SIGNALS[name], played[name].result()
    listed, recordings, sound = came.listed, came.variants, came.sound
    flashes: list[float] = []
    for variant, recording in zip(listed.variants, recordings, strict=True):
        assert media_problems(recording.playlist) == []
        assert len(recording.files) == 1, "a discontinuity without a reason"
        assert recording.largest_bits_per_second <= 1.1 * int(variant.attributes["BANDWIDTH"])
        if "RESOLUTION" in variant.attributes:
            shown = float(variant.attributes["FRAME-RATE"])
            assert shown == pytest.approx(min(float(sent.fps), shown), rel=0.001)
            seen = check_pictures(recording.files[0], sent, shown)
            size = f"{variant.attributes['RESOLUTION']}"
            assert size == _size(recording.files[0])
            flashes = flashes or pictures.flashes(seen)
    if sent.channels and sent.video:
        assert sound is not None
        check_sound(sound.files[0])
        skews = pictures.skews(flashes, pictures.beeps(sound.files[0]))
        print(f"sound after picture: {', '.join(f'{1000 * skew:+.0f} ms' for skew in skews)}")
        assert skews, "no flash with a beep was found"
        source = lip_sync.own_offset(lip_sync.source_file(sent, tmp_path, 6))
        assert max(abs(skew - source) for skew in skews) < lip_sync.MOST_SECONDS, f"source {source:+.3f} s"
    elif sent.channels:
        file = (sound or recordings[0]).files[0]
        check_sound(file)
        gaps = [after - before for before, after in pairwise(pictures.beeps(file))]
        assert gaps
        assert all(abs(gap - pictures.PERIOD_SECONDS) < 0.01 for gap in gaps), gaps
    else:
        assert sound is None
        assert not listed.media


def _size(file: Path) -> str:
    shown = subprocess.run(
        ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "stream=width,height",
         "-of", "csv=p=0:s=x", str(file)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return shown.stdout.strip().rstrip("x")


def check_sound(file: Path) -> None:
    """See that the sound is stereo AAC, which every player has a decoder and loudspeakers for."""
    shown = subprocess.run(
        ["ffprobe", "-v", "error", "-select_streams", "a:0", "-show_entries",
         "stream=codec_name,channels", "-of", "csv=p=0", str(file)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert shown.stdout.strip().rstrip(",") == "aac,2"


def test_pictures_look_like_what_was_sent(site: Site, stream: str, tmp_path: Path) -> None:
    """Structural similarity of one decoded picture with the picture of the same number, made anew."""
    sent = Signal(width=640, height=360, rate="25")
    with Publisher(site.rtmp(stream), sent):
        listed = player.wait_for(site.hls(stream), segments=2)
        recording = player.record(listed.variants[0].url, tmp_path)
    seen = pictures.read_pictures(recording.files[0])
    index = len(seen) // 2
    number = seen[index].number
    assert number is not None
    graph = (
        f"[0:v]select=eq(n\\,{index}),setpts=0,format=yuv420p[out];"
        f"[1:v]select=eq(n\\,{number}),setpts=0[in];[out][in]ssim"
    )
    compared = subprocess.run(
        ["ffmpeg", "-hide_banner", "-nostdin", "-i", str(recording.files[0]),
         "-f", "lavfi", "-i", f"{pictures.video_source(640, 360, '25')},trim=end_frame={number + 1}",
         "-filter_complex", graph, "-f", "null", "-"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    similarity = float(re.findall(r"All:([0-9.]+)", compared.stderr)[-1])
    print(f"structural similarity {similarity:.3f}")
    assert similarity > 0.98  # the next picture already has 0.967


def test_a_plain_player_goes_on_where_the_copied_source_is_encoded(site: Site, stream: str) -> None:
    # Keyframes five seconds apart are copied until the first is missed, at 2.1 s.
    with Publisher(site.rtmp(stream), Signal(width=640, height=360, gop_seconds=5)):
        listed = player.wait_for(site.hls(stream), segments=1)
        (url,) = [
            variant.url for variant in listed.variants if variant.attributes.get("RESOLUTION") == "640x360"
        ]
        assert player.decodes(url, 12) == ""
        breaks = sum(segment.discontinuity for segment in player.media(url).segments)
    assert breaks == 1
