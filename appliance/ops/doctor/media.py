"""What is wrong with playlists and segments as a player gets them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from appliance.health.finding import Finding, critical, warning
from appliance.health.stream import oldest_newest

if TYPE_CHECKING:
    from appliance.names import StreamName
    from appliance.ops.doctor.playlist import Media

_OVER_BANDWIDTH: Final = 2.0
"""BANDWIDTH is the measured peak; a segment of twice as much is none that a player was told of."""


def judge_media(stream: StreamName, playlists: list[Media], now: float) -> list[Finding]:
    """What is wrong with the media playlists of a live stream; `now` is unix seconds."""
    findings = []
    show = f"appliance streams show {stream}; appliance doctor --stream {stream}"
    targets = sorted({media.target for media in playlists})
    if len(targets) > 1:
        seen = f"target durations {targets}; allowed is one"
        why = "players that change the quality stumble"
        findings.append(warning(f"the variants of stream {stream} differ", seen, why, show, stream=stream))
    for media in playlists:
        if media.longest > media.target + 0.5:
            seen = f"one of {media.longest:.2f} s, the target is {media.target} s (RFC 8216, 4.3.3.1)"
            why = "players run out of media"
            what = f"segments of stream {stream} are too long"
            mend = "set the encoder's keyframe interval to 2 s or less"
            findings.append(warning(what, seen, why, mend, stream=stream))
        ends = [one.starts_at + one.duration for one in (media.newest,) if one and one.starts_at is not None]
        age = now - ends[0] if ends else None
        if media.newest is None:
            findings.append(_stale(stream, f"no segment of {media.segments} is there", show))
        elif age is not None and age > oldest_newest(media.target) and not media.ended:
            findings.append(
                _stale(
                    stream, f"the newest segment ended {age:.1f} s ago, a segment is {media.target} s", show
                )
            )
    # One of a kind is enough: the renditions share their troubles.
    return list({finding.what: finding for finding in reversed(findings)}.values())[::-1]


def _stale(stream: StreamName, seen: str, mend: str) -> Finding:
    return critical(
        f"the playlist of stream {stream} is not fresh", seen, "players stall", mend, stream=stream
    )


def judge_size(stream: StreamName, size: int, duration: float, bandwidth: int) -> list[Finding]:
    """What is wrong with the size (bytes) of a segment of `duration` seconds."""
    rate = 8 * size / duration if duration > 0 else 0.0
    if not bandwidth or rate <= _OVER_BANDWIDTH * bandwidth:
        return []
    seen = f"{rate / 1000:.0f} kbit/s in one segment, the playlist promises {bandwidth / 1000:.0f}"
    why = "players choose a quality that their line does not carry"
    mend = "set the encoder to a constant bitrate (CBR)"
    return [warning(f"segments of stream {stream} are too large", seen, why, mend, stream=stream)]


def decrypt(data: bytes, key: bytes, iv: bytes) -> bytes:
    """AES-128-CBC with PKCS#7 (RFC 8216, 4.3.2.4). Raises ValueError when it does not fit."""
    decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    padded = decryptor.update(data) + decryptor.finalize()
    unpadder = PKCS7(128).unpadder()
    return unpadder.update(padded) + unpadder.finalize()
