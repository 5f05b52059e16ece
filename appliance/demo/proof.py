"""Prove that the demo's stream plays: fetch it as a player does, decrypt it, decode every picture."""

from __future__ import annotations

import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from appliance.errors import EX_UNAVAILABLE, OperatorError
from appliance.program import program

if TYPE_CHECKING:
    from collections.abc import Mapping

FRESH_SEGMENTS = 3
"""A player joins that many segments before the end (RFC 8216 section 6.3.3), FFmpeg among them."""

POLL_SECONDS = 0.25
FETCH_TIMEOUT_SECONDS = 5.0
DECODE_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class Proof:
    """What was decoded."""

    variants: int
    """Pictures in several sizes, as the multivariant playlist lists them."""
    frames: int
    """Decoded pictures of the variant that FFmpeg chose."""
    seconds: float
    """Media time that was asked for."""


def fetch(url: str) -> tuple[int, str]:
    """Return status and text of a URL; status 0 and the reason when nothing answered."""
    try:
        with urllib.request.urlopen(url, timeout=FETCH_TIMEOUT_SECONDS) as answer:  # noqa: S310 - our own http URL
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.reason
    except OSError as error:
        return 0, str(error)


def runs(url: str) -> dict[str, int]:
    """Return which encodings a stream has seen: media playlist → the discontinuities up to its end.

    Empty when nothing is served. Each connection of a publisher adds a discontinuity (RFC 8216 sections
    4.3.2.3 and 4.3.3.3) or, after the stream has ended, begins playlists of other names.
    """
    status, text = fetch(url)
    if status != 200:
        return {}
    return {place: discontinuities(fetch(place)[1]) for place in media_playlists(url, text)}


def media_playlists(url: str, text: str) -> list[str]:
    """Return the URLs of the media playlists that a multivariant playlist lists, audio included."""
    named = re.findall(r'^#EXT-X-MEDIA:.*\bURI="([^"]+)"|^([^#\s].*)$', text, re.MULTILINE)
    return [urllib.parse.urljoin(url, media or variant) for media, variant in named]


def discontinuities(text: str) -> int:
    """Return how many discontinuities came before the last segment of a media playlist."""
    gone = re.search(r"^#EXT-X-DISCONTINUITY-SEQUENCE:(\d+)", text, re.MULTILINE)
    return (int(gone[1]) if gone else 0) + len(re.findall(r"^#EXT-X-DISCONTINUITY\s*$", text, re.MULTILINE))


def is_newer(text: str, seen: int | None) -> bool:
    """Whether a player that joins now sees only what was encoded after `seen` was counted.

    Args:
        text: a media playlist.
        seen: its discontinuities then, None when it did not exist.
    """
    if "#EXT-X-ENDLIST" in text:
        return False
    if seen is None:
        return "#EXTINF" in text
    newest = re.split(r"^#EXT-X-DISCONTINUITY\s*$", text, flags=re.MULTILINE)[-1]
    return discontinuities(text) > seen and newest.count("#EXTINF") >= FRESH_SEGMENTS


def wait_for_playlist(url: str, seconds: float, before: Mapping[str, int] | None = None) -> str:
    """Return the multivariant playlist once it is served, and once it plays what is published now.

    Nothing announces a first playlist to a stranger, so it is asked for again and again, as a player would.

    Args:
        url: of the multivariant playlist.
        seconds: how long to wait.
        before: from `runs`, before the publisher began; None when it goes on since earlier.

    Raises:
        OperatorError: it was not there in time; names the last answer.
    """
    deadline = monotonic() + seconds
    while True:
        status, text = fetch(url)
        if status == 200 and "#EXT-X-STREAM-INF" in text:
            places = media_playlists(url, text) if before is not None else []
            if all(is_newer(fetch(place)[1], (before or {}).get(place)) for place in places):
                return text
            text = "still the stream of an earlier publisher"
        if monotonic() > deadline:
            raise OperatorError(
                f"{url} did not become playable within {seconds:.0f} s; "
                f"the last answer was {status} {text[:200]}",
                exit_code=EX_UNAVAILABLE,
                hint=f"{program()} lab ssh origin journalctl -u 'stream@*' -u appliance-control -n 50",
            )
        time.sleep(POLL_SECONDS)


def decode(url: str, seconds: float) -> int:
    """Return the number of pictures that FFmpeg decodes from `seconds` of the stream.

    Raises:
        OperatorError: FFmpeg failed, complained, or decoded next to nothing.
    """
    command = ["ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", "-i", url, "-t", f"{seconds:g}",
               "-map", "0:v:0?", "-map", "0:a:0?", "-f", "null", "-progress", "pipe:1", "-"]  # fmt: skip
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=DECODE_TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise OperatorError(
            f"{url} stopped while it was played: {seconds:g} s of it took more than "
            f"{DECODE_TIMEOUT_SECONDS:g} s",
            exit_code=EX_UNAVAILABLE,
        ) from None
    frames = [int(number) for number in re.findall(r"^frame=\s*(\d+)", done.stdout, re.MULTILINE)]
    counted = frames[-1] if frames else 0
    if done.returncode != 0 or counted < 5 * seconds:
        raise OperatorError(
            f"{url} could not be decoded (exit code {done.returncode}, {counted} pictures): "
            f"{done.stderr.strip()[-800:]}",
            exit_code=EX_UNAVAILABLE,
            hint=f"try it yourself: ffmpeg -i {url} -t 5 -f null -",
        )
    return counted


def prove(
    url: str,
    *,
    before: Mapping[str, int] | None = None,
    wait_seconds: float = 60.0,
    play_seconds: float = 3.0,
) -> Proof:
    """Wait for the stream, then play a few seconds of it.

    Args:
        url: of the multivariant playlist.
        before: from `runs`, when only what is newer counts.
        wait_seconds: longest wait for it.
        play_seconds: how much of it is played.

    Raises:
        OperatorError: from `wait_for_playlist` and `decode`.
    """
    playlist = wait_for_playlist(url, wait_seconds, before)
    frames = decode(url, play_seconds)
    return Proof(playlist.count("#EXT-X-STREAM-INF"), frames, play_seconds)
