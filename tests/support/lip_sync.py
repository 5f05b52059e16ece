"""Sound against picture, as a source has it, as it comes out decrypted, and as a browser plays it.

In the browser the flash is read off the pictures and dated by the media time that
requestVideoFrameCallback gives with each, to the picture. The beep is dated by the clock of an AudioContext
that the element's sound passes through, to the sample, and from there by the element's position, which is
read beside that clock twenty times a second. The position is what the player steers the pictures by, and it
moves in the steps in which the sound is rendered: `CLOCK_SECONDS` at most, or the beep does not count.
"""

from __future__ import annotations

import statistics
import subprocess
from bisect import bisect_left
from itertools import pairwise
from pathlib import Path

from tests.support import pictures
from tests.support.browser import Seen, Viewer
from tests.support.encoder import Signal

MOST_SECONDS = 0.040
"""How far sound may be from picture, beyond what the source has: ITU-R BT.1359 finds 45 ms of sound too early
noticeable, and an eye takes a picture of 25 a second for one moment."""

CLOCK_SECONDS = 0.045
_NEAR_SECONDS = 0.5
_FEWEST_READINGS = 5


def offsets(seen: Seen, since: float = 0.0, until: float = float("inf")) -> list[float]:
    """Return for each flash, shown from `since` until `until` (unix time), how much later its beep was, s."""
    shown = [picture for picture in seen.shown if since <= picture.at < until]
    flashes = [
        after.media
        for before, after in pairwise(shown)
        # the picture before it was shown as well: it is the flash's first
        if after.flash and not before.flash and after.number == before.number + 1
    ]
    found = [_position(seen.clock, beep) for beep in seen.beeps]
    return pictures.skews(flashes, [beep for beep in found if beep is not None])


def _position(clock: list[tuple[float, float]], beep: float) -> float | None:
    """Return the element's position when a beep began; None when it did not move evenly around it."""
    near = (
        bisect_left(clock, beep - _NEAR_SECONDS, key=lambda read: read[0]),
        bisect_left(clock, beep + _NEAR_SECONDS, key=lambda read: read[0]),
    )
    apart = [media - at for at, media in clock[slice(*near)]]
    if len(apart) < _FEWEST_READINGS or max(apart) - min(apart) > CLOCK_SECONDS:
        return None
    return beep + statistics.median(apart)


def source_file(sent: Signal, folder: Path, seconds: float) -> Path:
    """Write what a publisher of `sent` would send, as fast as it goes."""
    file = folder / "source.flv"
    arguments = [word for word in sent.arguments() if word != "-re"]
    at = arguments.index("-f", -2)
    subprocess.run(
        ["ffmpeg", "-v", "error", "-nostdin", "-y", *arguments[:at], "-t", f"{seconds:g}", "-f", "flv",
         str(file)],
        check=True,
    )  # fmt: skip
    return file


def own_offset(file: Path) -> float:
    """Return how much later the beep is than its flash in a file, s."""
    found = pictures.skews(pictures.flashes(pictures.read_pictures(file)), pictures.beeps(file))
    assert found, f"{file}: no flash with a beep"
    return statistics.median(found)


def own_offset_in_browser(file: Path, folder: Path, beeps: int = 5) -> list[float]:
    """Return the same as the browser plays it: the source's packets as they are, in HLS, nothing of ours.

    What the browser adds is in it, so that a stream is measured against its source by one way of measuring.
    """
    subprocess.run(
        ["ffmpeg", "-v", "error", "-nostdin", "-y", "-i", str(file), "-c", "copy", "-f", "hls",
         "-hls_segment_type", "fmp4", "-hls_time", "2", "-hls_list_size", "0", "-hls_playlist_type", "vod",
         "-hls_segment_filename", str(folder / "source-%d.m4s"), str(folder / "source.m3u8")],
        check=True, cwd=folder,
    )  # fmt: skip
    with Viewer("/media/source.m3u8", sound=True, folder=folder) as viewer:
        seen = viewer.until("beeps", lambda seen: len(offsets(seen)) >= beeps, 60)
    return offsets(seen)
