"""Whether the media's memory holds the window of every stream that may come, at the whole ladder."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

from appliance.errors import OperatorError
from appliance.health.finding import Finding, critical, warning
from appliance.media.encode.ladder import ladder_path, load_ladder
from appliance.ops.doctor.space import Room
from appliance.ops.doctor.valkey import registered

if TYPE_CHECKING:
    from appliance.media.encode.ladder import Ladder
    from appliance.ops.doctor.host import Host
    from appliance.settings import Settings

_PARTS_SECONDS: Final = 14
"""Seconds of parts beside the segments that they are parts of (roles/origin/defaults)."""


async def capacity(host: Host) -> list[Finding]:
    """The media's memory holds the window of every stream."""
    try:
        ladder = await asyncio.to_thread(load_ladder, ladder_path(host.settings.ladder))
    except OperatorError:
        return []  # no stream starts with it, and its unit says why
    size = Room.of(Path(host.settings.media_root)).size
    if not size:
        return []  # the check `space` says it
    streams = {*host.settings.allowed_stream_keys, *(await registered(host) or ())}
    return judge_capacity(size, stream_bytes(host.settings, ladder), max(1, len(streams)))


def stream_bytes(settings: Settings, ladder: Ladder) -> float:
    """Bytes that one stream's files take, with every rung of the ladder at its average bitrate."""
    audio = max(rung.audio_kbps for rung in ladder.rungs)
    sounds = len(ladder.rungs) if settings.container == "mpegts" else 1
    kbps = sum(rung.video_kbps for rung in ladder.rungs) + sounds * audio
    seconds = (2 * settings.window_segments + 1) * settings.segment_seconds
    seconds += _PARTS_SECONDS if settings.low_latency else 0
    return kbps * 125 * seconds


def judge_capacity(size: int, each: float, streams: int) -> list[Finding]:
    """What is wrong with `size` bytes for `streams` streams of `each` bytes."""
    fits = int(size / each)
    if fits >= streams:
        return []
    mib = 1 << 20
    make = warning if fits else critical
    return [
        make(
            "the media's memory is too small for its streams",
            f"{size // mib} MiB hold {fits} stream{'' if fits == 1 else 's'} of {each / mib:.0f} MiB; "
            f"room for {streams} is wanted",
            "the oldest segments go early, and viewers who are behind skip",
            "raise origin_media_size, or lower window_segments or the ladder's bitrates",
        )
    ]
