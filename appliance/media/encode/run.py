"""One run: a source that does not change, the FFmpeg that encodes it, and the packager that takes what
comes out.

A run begins at a keyframe. Every break (another codec header, a jump of the timestamps, an FFmpeg that
died, a publisher that came back) ends one run and begins the next, which players see as one
EXT-X-DISCONTINUITY.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from appliance.media.encode.clock import RunClock, milliseconds_since
from appliance.media.encode.command import MEDIA_START_S, RunPlan, ffmpeg_command
from appliance.media.encode.ffmpeg import Ending, FFmpeg
from appliance.media.encode.pace import Pace
from appliance.media.encode.thumbnails import THUMBNAIL, Thumbnails
from appliance.media.package.rendition import AUDIO_RENDITION, Rendition
from appliance.media.rtmp import flv
from appliance.media.rtmp.chunks import MessageType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from appliance.media.package.packager import Packager
    from appliance.media.rtmp.chunks import Message
    from appliance.media.rtmp.reader import Arrival

MAX_BACKLOG: Final = 16 * 1024 * 1024
"""Bytes that FFmpeg may be behind (16 s at 8 Mb/s) before pictures are left out until the next keyframe."""

LONGEST_MS: Final = 2**31 - 3_600_000
"""A run that has lasted this long (24.8 days) gives way to the next: FLV, which FFmpeg reads, counts 2**32
ms, and some programs see a sign in the last bit."""

_START_MS: Final = MEDIA_START_S * 1000
_SILENT_SEGMENTS: Final = 3
_GPU_SILENT_S: Final = 1.2
"""A GPU that has encoded, and now takes pictures for so long without giving one back (beside the length of a
part, in which they come), has failed: viewers have to go on within five seconds."""
_GPU_UNANSWERED: Final = 30
"""Pictures, too, that it has to have taken meanwhile: it may hold a few back, and a source may send few."""
_LONGEST_STEP_S: Final = 1.0


@dataclass(slots=True)
class _Track:
    last_ms: int = -1


class EncodingRun:
    """Made by `begin`. `ffmpeg.ended` tells when FFmpeg is gone; `finish` must be called in any case."""

    def __init__(
        self, plan: RunPlan, headers: Mapping[int, Message], packager: Packager, thumbnails: Thumbnails
    ) -> None:
        self.plan = plan
        self.headers = dict(headers)
        self.begun_at = time.monotonic()
        self.ffmpeg: FFmpeg
        self.pace = Pace()
        self._packager = packager
        self._thumbnails = thumbnails
        self._clock: RunClock
        self._lead: MessageType
        self._tracks = {kind: _Track() for kind in self.headers}
        self._skipping = False
        self._left_out_count = 0
        self._fed = self._answered = False
        # What a GPU does not encode comes out all the same for a while: sound, and a rung that is copied.
        on_gpu = plan.encoder.family == "nvenc" and bool(plan.encoded)
        self._watched = frozenset(rung.name for rung in plan.encoded) if on_gpu else None
        self._has_encoded = False
        self._unanswered = 0
        self._silent_s = 0.0
        self._watched_at = self.begun_at

    @classmethod
    async def begin(
        cls,
        plan: RunPlan,
        headers: Mapping[int, Message],
        replay: Sequence[Arrival],
        packager: Packager,
        thumbnails: Thumbnails,
        *,
        ffmpeg: str = "ffmpeg",
    ) -> EncodingRun:
        """Starts FFmpeg for `plan` and hands it `headers` (by message type) and the frames of `replay`.

        `replay` holds a keyframe, or audio when the plan has no video. Raises OSError when FFmpeg cannot be
        started, ValueError when `replay` holds nothing to begin with.
        """
        kinds = {MessageType.VIDEO: plan.source.video, MessageType.AUDIO: plan.source.audio}
        self = cls(
            plan, {kind: headers[kind] for kind, track in kinds.items() if track}, packager, thumbnails
        )
        lead = MessageType.VIDEO if plan.source.video else MessageType.AUDIO
        first = _first(replay, lead)
        self._lead = lead
        self._clock = RunClock(lead, first.message.timestamp, _START_MS)
        packager.begin(
            [Rendition(name, "audio" if name == AUDIO_RENDITION else "video") for name in plan.renditions],
            started_at=datetime.fromtimestamp(_began(replay, first) - MEDIA_START_S, UTC),
        )
        self.ffmpeg = await FFmpeg.start(
            lambda outputs, progress: ffmpeg_command(plan, outputs=outputs, progress=progress, ffmpeg=ffmpeg),
            plan.outputs,
            self._take_output,
            gpu=plan.encoder.gpu,
        )
        self._write_headers()
        for arrival in replay:
            self.feed(arrival.message, arrival.wall)
        return self

    def feed(self, message: Message, wall: float | None = None) -> None:
        """Hands one frame to FFmpeg; one of an unknown track, or from before the run, is dropped.

        `wall`: when it was taken, unix seconds; None for now.
        """
        track = self._tracks.get(message.type)
        if track is None:
            return
        if self._watched is None or message.type == MessageType.VIDEO:
            self._fed = True
            self._unanswered += 1
        milliseconds = self._clock.read(message)
        if message.type == self._lead:
            self._packager.arrived(milliseconds / 1000, time.time() if wall is None else wall)
        if milliseconds < _START_MS or self._left_out(message):
            return
        # Encoders repeat a timestamp or step back by some milliseconds; FFmpeg's muxers drop such packets,
        # and a dropped reference frame shows for seconds.
        track.last_ms = milliseconds = max(milliseconds, track.last_ms + 1)
        tag = flv.tag(message.type, milliseconds, message.payload)
        self.ffmpeg.write(tag)
        self.pace.give(len(tag), self._clock.milliseconds)

    async def finish(self) -> Ending:
        """Ends FFmpeg, if it runs, and completes the last segments. Raises Mp4Error when they are no MP4."""
        ending = await self.ffmpeg.finish()
        self._packager.end_run()
        return ending

    def watch(self, now: float) -> None:
        """To be called about every half second: kills an FFmpeg that takes frames and gives nothing back.

        Only time in which frames were handed over counts: a source that pauses is not FFmpeg's fault.
        """
        self.pace.sample(now, self.ffmpeg.backlog)
        passed, self._watched_at = min(now - self._watched_at, _LONGEST_STEP_S), now
        if self._answered:
            self._silent_s, self._unanswered = 0.0, 0
        elif self._fed:
            self._silent_s += passed
        self._fed = self._answered = False
        longest = _SILENT_SEGMENTS * self.plan.segment_seconds
        if self._watched is not None and self._has_encoded and self._unanswered >= _GPU_UNANSWERED:
            longest = min(longest, _GPU_SILENT_S + self.plan.part_seconds)
        if self._silent_s >= longest:
            self.ffmpeg.give_up(f"hung: nothing came out for {self._silent_s:.0f} s")
            self._silent_s = 0.0

    @property
    def worn_out(self) -> bool:
        """Whether the run has lasted so long that the next should begin at the next keyframe."""
        return self._clock.milliseconds >= LONGEST_MS

    def take_left_out(self) -> int:
        """How many pictures were left out, because FFmpeg was too far behind, since this was asked last."""
        count, self._left_out_count = self._left_out_count, 0
        return count

    def _take_output(self, name: str, data: bytes) -> None:
        if self._watched is None or name in self._watched:
            self._answered = self._has_encoded = True
        if name == THUMBNAIL:
            self._thumbnails.feed(data)
        else:
            self._packager.feed(name, data)

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
        elif self._skipping and self.ffmpeg.backlog < MAX_BACKLOG // 4:
            self._skipping = flv.parse_video(message.payload).kind is not flv.PacketKind.KEYFRAME
        self._left_out_count += self._skipping
        return self._skipping


def _began(replay: Sequence[Arrival], first: Arrival) -> float:
    """When `first` was taken (unix seconds), by the frame of its track that was the shortest on its way.

    The first one is late more often than not: the encoder has to connect, and a keyframe is large.
    """
    kind, timestamp = first.message.type, first.message.timestamp
    own = (one for one in replay if one.message.type == kind)
    return min(one.wall - milliseconds_since(timestamp, one.message.timestamp) / 1000 for one in own)


def _first(replay: Sequence[Arrival], lead: MessageType) -> Arrival:
    for arrival in replay:
        if arrival.message.type == lead:
            return arrival
    raise ValueError("a run cannot begin without a keyframe or audio")
