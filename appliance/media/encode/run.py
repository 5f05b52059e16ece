"""One run: a source that does not change, the FFmpeg that encodes it, and the packager that takes what
comes out.

A run begins at a keyframe. Every break (another codec header, a jump of the timestamps, an FFmpeg that
died, a publisher that came back) ends one run and begins the next, which players see as one
EXT-X-DISCONTINUITY.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from appliance.media.encode.command import MEDIA_START_S, RunPlan, ffmpeg_command
from appliance.media.encode.ffmpeg import Ending, FFmpeg
from appliance.media.encode.gop import milliseconds_since
from appliance.media.package.rendition import AUDIO_RENDITION, Rendition
from appliance.media.rtmp import flv
from appliance.media.rtmp.chunks import MessageType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from appliance.media.package.packager import Packager
    from appliance.media.rtmp.chunks import Message
    from appliance.media.rtmp.reader import Arrival

log = logging.getLogger(__name__)

MAX_BACKLOG: Final = 16 * 1024 * 1024
"""Bytes that FFmpeg may be behind (16 s at 8 Mb/s) before pictures are left out until the next keyframe."""

_START_MS: Final = MEDIA_START_S * 1000


@dataclass(slots=True)
class _Track:
    last_ms: int = -1


class EncodingRun:
    """Made by `begin`. `ffmpeg.ended` tells when FFmpeg is gone; `finish` must be called in any case."""

    def __init__(self, plan: RunPlan, headers: Mapping[int, Message], packager: Packager) -> None:
        self.plan = plan
        self.headers = dict(headers)
        self.begun_at = time.monotonic()
        self.ffmpeg: FFmpeg
        self._packager = packager
        self._clock = (0, _START_MS)
        self._tracks = {kind: _Track() for kind in self.headers}
        self._skipping = False

    @classmethod
    async def begin(
        cls,
        plan: RunPlan,
        headers: Mapping[int, Message],
        replay: Sequence[Arrival],
        packager: Packager,
        *,
        ffmpeg: str = "ffmpeg",
    ) -> EncodingRun:
        """Starts FFmpeg for `plan` and hands it `headers` (by message type) and the frames of `replay`.

        `replay` holds a keyframe, or audio when the plan has no video. Raises OSError when FFmpeg cannot be
        started, ValueError when `replay` holds nothing to begin with.
        """
        kinds = {MessageType.VIDEO: plan.source.video, MessageType.AUDIO: plan.source.audio}
        self = cls(plan, {kind: headers[kind] for kind, track in kinds.items() if track}, packager)
        first = self._first(replay)
        self._clock = (first.message.timestamp, _START_MS)
        packager.begin(
            [Rendition(name, "audio" if name == AUDIO_RENDITION else "video") for name in plan.renditions],
            started_at=datetime.fromtimestamp(first.wall - MEDIA_START_S, UTC),
        )
        self.ffmpeg = await FFmpeg.start(
            lambda outputs, progress: ffmpeg_command(plan, outputs=outputs, progress=progress, ffmpeg=ffmpeg),
            plan.renditions,
            packager.feed,
        )
        self._write_headers()
        for arrival in replay:
            self.feed(arrival.message)
        return self

    def feed(self, message: Message) -> None:
        """Hands one frame to FFmpeg; one of an unknown track, or from before the run, is dropped."""
        track = self._tracks.get(message.type)
        milliseconds = self._run_time(message.timestamp)
        if track is None or milliseconds < _START_MS or self._left_out(message):
            return
        # Encoders repeat a timestamp or step back by some milliseconds; FFmpeg's muxers drop such packets,
        # and a dropped reference frame shows for seconds.
        track.last_ms = milliseconds = max(milliseconds, track.last_ms + 1)
        self.ffmpeg.write(flv.tag(message.type, milliseconds, message.payload))

    async def finish(self) -> Ending:
        """Ends FFmpeg, if it runs, and completes the last segments. Raises OSError when the disk is full."""
        ending = await self.ffmpeg.finish()
        self._packager.end_run()
        return ending

    def _run_time(self, timestamp: int) -> int:
        """The time within the run, which goes on where `timestamp` wraps after 2**32 ms (49.7 days).

        Taken from the frame before, in whichever track: from the run's first, the difference of two
        timestamps would turn negative after 2**31 ms.
        """
        before, milliseconds = self._clock
        milliseconds += milliseconds_since(before, timestamp)
        self._clock = (timestamp, milliseconds)
        return milliseconds

    def _first(self, replay: Sequence[Arrival]) -> Arrival:
        lead = MessageType.VIDEO if self.plan.source.video else MessageType.AUDIO
        for arrival in replay:
            if arrival.message.type == lead:
                return arrival
        raise ValueError("a run cannot begin without a keyframe or audio")

    def _write_headers(self) -> None:
        """Writes what FFmpeg must know before the first frame: both codec headers, and the frame rate."""
        source = self.plan.source
        self.ffmpeg.write(flv.file_header(video=source.video is not None, audio=source.audio is not None))
        if source.fps:
            self.ffmpeg.write(flv.metadata_tag({"framerate": float(source.fps)}))
        for kind, header in self.headers.items():
            self.ffmpeg.write(flv.tag(kind, _START_MS, header.payload))

    def _left_out(self, message: Message) -> bool:
        """Whether a picture is left out because FFmpeg is too far behind. Sound goes on: it costs little."""
        if message.type != MessageType.VIDEO:
            return False
        if not self._skipping and self.ffmpeg.backlog > MAX_BACKLOG:
            self._skipping = True
            log.error("FFmpeg is %d bytes behind: pictures are left out until the next keyframe", MAX_BACKLOG)
        elif self._skipping and self.ffmpeg.backlog < MAX_BACKLOG // 4:
            self._skipping = flv.parse_video(message.payload).kind is not flv.PacketKind.KEYFRAME
        return self._skipping
