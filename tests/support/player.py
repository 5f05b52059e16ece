"""Fetch, decrypt and keep a stream as a player does."""

from __future__ import annotations

import atexit
import logging
import subprocess
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from tests.support.low_latency import Part
from tests.support.playlists import (
    MediaPlaylist,
    Multivariant,
    Segment,
    parse_media,
    parse_multivariant,
)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: bytes
    headers: dict[str, str]
    """Names in lower case."""


def get(url: str, *, data: bytes | None = None, seconds: float = 5.0) -> Answer:
    """Fetch a URL; an error status is an answer, no answer is an OSError."""
    try:
        reply = _client().request("POST" if data else "GET", url, content=data, timeout=seconds)
    except httpx.TransportError as error:
        raise OSError(f"{url}: {error}") from error
    return Answer(
        reply.status_code, reply.content, {name.lower(): value for name, value in reply.headers.items()}
    )


@cache
def _client() -> httpx.Client:
    # a line for each of a thousand polls would bury what a failed test has to say
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # the lab's hosts are neighbours: a proxy named in the environment is not meant for them
    client = httpx.Client(trust_env=False)
    atexit.register(client.close)
    return client


def multivariant(url: str) -> Multivariant:
    """Fetch a multivariant playlist."""
    answer = get(url)
    assert answer.status == 200, f"{url}: {answer.status}"
    return parse_multivariant(url, answer.body.decode())


def media(url: str) -> MediaPlaylist:
    """Fetch a media playlist."""
    answer = get(url)
    assert answer.status == 200, f"{url}: {answer.status}"
    return parse_media(url, answer.body.decode())


def wait_for(url: str, *, segments: int = 1, seconds: float = 30.0) -> Multivariant:
    """Wait until every variant of a stream has so many segments; nothing announces them, so it asks again."""
    deadline = time.monotonic() + seconds
    seen = "no answer"
    while time.monotonic() < deadline:
        try:
            answer = get(url)
            seen = f"status {answer.status}"
            if answer.status == 200:
                found = parse_multivariant(url, answer.body.decode())
                counts = [len(media(variant.url).segments) for variant in found.variants]
                if counts and min(counts) >= segments:
                    return found
                seen = f"segments {counts}"
        except OSError as error:
            seen = str(error)
        time.sleep(0.1)
    raise AssertionError(f"{url} had not {segments} segments within {seconds:.0f} s: {seen}")


def wait_for_number(url: str, number: int, *, seconds: float = 30.0) -> MediaPlaylist:
    """Wait until a media playlist has segment `number`."""
    deadline = time.monotonic() + seconds
    playlist = media(url)
    while playlist.last < number:
        assert time.monotonic() < deadline, (
            f"{url}: segment {number} did not come; the last is {playlist.last}"
        )
        time.sleep(0.1)
        playlist = media(url)
    return playlist


def content_key(segment: Segment | Part) -> bytes:
    """Fetch a segment's key."""
    assert segment.key is not None
    answer = get(segment.key.url)
    assert answer.status == 200, f"{segment.key.url}: {answer.status}"
    assert len(answer.body) == 16, f"{segment.key.url}: {len(answer.body)} bytes"
    return answer.body


def decrypt(segment: Segment | Part, key: bytes, body: bytes) -> bytes:
    """Decrypt a segment or a part: AES-128-CBC with PKCS#7 (RFC 8216 section 4.3.2.4)."""
    assert segment.key is not None
    decryptor = Cipher(algorithms.AES(key), modes.CBC(bytes.fromhex(segment.key.iv[2:]))).decryptor()
    unpadder = PKCS7(128).unpadder()
    return unpadder.update(decryptor.update(body) + decryptor.finalize()) + unpadder.finalize()


@dataclass
class Recording:
    """Decrypted segments of one rendition, playable as one file for each initialization segment."""

    playlist: MediaPlaylist
    files: list[Path]
    """One for each stretch without a discontinuity."""
    largest_bits_per_second: float


def record(url: str, folder: Path, numbers: range | None = None) -> Recording:
    """Fetch and decrypt the segments of a media playlist (those in `numbers`, when given) into `folder`."""
    playlist = media(url)
    wanted = [s for s in playlist.segments if numbers is None or s.number in numbers]
    assert wanted, f"{url}: none of the segments {numbers} is left; there are up to {playlist.last}"
    keys: dict[str, bytes] = {}
    files: list[Path] = []
    peak, opened = 0.0, ""
    folder.mkdir(parents=True, exist_ok=True)
    for segment in wanted:
        assert segment.key is not None
        assert segment.map_url is not None
        key = keys.setdefault(segment.key.url, b"") or content_key(segment)
        keys[segment.key.url] = key
        answer = get(segment.url)
        assert answer.status == 200, f"{segment.url}: {answer.status}"
        peak = max(peak, len(answer.body) * 8 / segment.duration)
        if segment.map_url != opened or segment.discontinuity or not files:
            opened = segment.map_url
            files.append(folder / f"{segment.number}.mp4")
            files[-1].write_bytes(get(segment.map_url).body)
        with files[-1].open("ab") as out:
            out.write(decrypt(segment, key, answer.body))
    return Recording(playlist, files, peak)


def decodes(url: str, seconds: float) -> str:
    """Play a URL with FFmpeg as any player would; return what it complained about."""
    done = subprocess.run(
        [
            "ffmpeg",
            "-hide_banner",
            "-nostdin",
            "-v",
            "error",
            "-i",
            url,
            "-t",
            f"{seconds:g}",
            "-map",
            "0",
            # Times as they are: rounded to frames, a new run may begin on the last frame of the old one.
            "-fps_mode",
            "passthrough",
            "-enc_time_base",
            "-1",
            "-f",
            "null",
            "-",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60 + seconds,
    )
    return done.stderr if done.returncode == 0 else f"exit code {done.returncode}: {done.stderr}"
