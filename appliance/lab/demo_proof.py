"""Prove that the demo's stream plays: fetch it as a player does, decrypt it, decode every picture."""

from __future__ import annotations

import re
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from time import monotonic

from appliance.errors import EX_UNAVAILABLE, OperatorError

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


def wait_for_playlist(url: str, seconds: float) -> str:
    """Return the multivariant playlist once it is served.

    Nothing announces a first playlist to a stranger, so it is asked for again and again, as a player would.

    Raises:
        OperatorError: it was not there in time; names the last answer.
    """
    deadline = monotonic() + seconds
    while True:
        status, text = fetch(url)
        if status == 200 and "#EXT-X-STREAM-INF" in text:
            return text
        if monotonic() > deadline:
            raise OperatorError(
                f"{url} did not become playable within {seconds:.0f} s; "
                f"the last answer was {status} {text[:200]}",
                exit_code=EX_UNAVAILABLE,
                hint="appliance lab ssh origin journalctl -u 'stream@*' -u appliance-control -n 50",
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


def prove(url: str, *, wait_seconds: float = 60.0, play_seconds: float = 3.0) -> Proof:
    """Wait for the stream, then play a few seconds of it.

    Raises:
        OperatorError: from `wait_for_playlist` and `decode`.
    """
    playlist = wait_for_playlist(url, wait_seconds)
    frames = decode(url, play_seconds)
    return Proof(playlist.count("#EXT-X-STREAM-INF"), frames, play_seconds)
