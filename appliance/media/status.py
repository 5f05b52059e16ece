"""`status.json` in the stream's directory: what an operator and the control service can know of a stream."""

from __future__ import annotations

import enum
import json
import time
from collections import deque
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final

from appliance.iso_time import iso

if TYPE_CHECKING:
    from appliance.media.encode.encoder import EncoderChoice
    from appliance.media.encode.pipeline import Pipeline
    from appliance.media.encode.run import EncodingRun
    from appliance.media.encode.source import Source

STATUS_FILE: Final = "status.json"
_BITRATE_WINDOW_S: Final = 5.0


class State(enum.Enum):
    """Where a stream is in its life."""

    WAITING = "waiting"
    LIVE = "live"
    ENDED = "ended"


class Meter:
    """Bits per second over the last five seconds."""

    def __init__(self) -> None:
        self._counts: deque[tuple[float, int]] = deque()
        self._sum = 0

    def add(self, count: int, now: float) -> None:
        """Counts `count` bytes at the monotonic time `now`."""
        self._counts.append((now, count))
        self._sum += count

    def kbps(self, now: float) -> int:
        """Returns the rate at `now` in 1000 bits per second."""
        while self._counts and now - self._counts[0][0] > _BITRATE_WINDOW_S:
            self._sum -= self._counts.popleft()[1]
        if not self._counts:
            return 0
        span = max(1.0, now - self._counts[0][0])
        return round(self._sum * 8 / 1000 / span)


@dataclass(slots=True)
class StreamStatus:
    """The fields of `status.json`; times are ISO 8601 in UTC.

    `speed` is the share that FFmpeg took of the media time that it was given in the last ten seconds,
    `behind` the media time (s) that it has not taken yet.
    """

    stream: str
    state: str = State.WAITING.value
    reason: str = "no publisher yet"
    since: str = ""
    reader: str = "connecting"
    encoder: dict[str, Any] | None = None
    source: dict[str, Any] | None = None
    encoded_because: str | None = None
    rungs: list[dict[str, Any]] = field(default_factory=list)
    dropped_rungs: list[dict[str, str]] = field(default_factory=list)
    run: int = 0
    ffmpeg_pid: int | None = None
    fps: float | None = None
    speed: float | None = None
    behind: float | None = None
    bitrate_kbps: int = 0
    last_ending: str | None = None
    last_ended: str | None = None
    media: dict[str, Any] | None = None
    alerts: list[dict[str, Any]] = field(default_factory=list)

    def enter(self, state: State, reason: str) -> None:
        """Notes a change of state, or of its reason."""
        self.state, self.reason, self.since = state.value, reason, _now()

    def _describe_encoder(self, choice: EncoderChoice) -> None:
        self.encoder = {"family": choice.family, "codec": choice.codec, "reason": choice.reason}
        if choice.gpu is not None:
            self.encoder["gpu"] = asdict(choice.gpu)
        if choice.instead_of is not None:
            self.encoder["instead_of"] = asdict(choice.instead_of)
        if choice.fault is not None:
            self.encoder["fault"] = choice.fault.value

    def _describe_source(self, source: Source | None, keyframe_seconds: float | None) -> None:
        if source is None:
            self.source = None
            return
        video, audio = source.video, source.audio
        self.source = {
            "text": str(source),
            "video": video
            and {
                "codec": "h264",
                "profile": video.profile_name,
                "level": video.level / 10,
                "width": video.width,
                "height": video.height,
                "fps": source.fps and round(float(source.fps), 3),
                "keyframe_seconds": keyframe_seconds,
            },
            "audio": audio and {"codec": "aac", "rate": audio.rate, "channels": audio.channels},
        }

    def describe_pipeline(self, pipeline: Pipeline) -> None:
        """Notes what becomes of the source, and why."""
        self.run = pipeline.runs
        self.last_ending = pipeline.last_ending
        self.last_ended = iso(pipeline.last_ended_at) if pipeline.last_ending else None
        if pipeline.encoder is not None:
            self._describe_encoder(pipeline.encoder)
        self._describe_source(pipeline.source, pipeline.keyframe_seconds)
        self.encoded_because = pipeline.encoded_because
        self._describe_run(pipeline.run)
        self.dropped_rungs = [{"name": name, "reason": reason} for name, reason in pipeline.dropped.items()]

    def _describe_run(self, run: EncodingRun | None) -> None:
        if run is None:
            self.rungs, self.ffmpeg_pid, self.fps, self.speed, self.behind = [], None, None, None, None
            return
        self.ffmpeg_pid = run.ffmpeg.pid
        self.fps = run.ffmpeg.fps and round(run.ffmpeg.fps, 1)
        self.speed = run.pace.speed and round(run.pace.speed, 3)
        self.behind = round(run.pace.behind_s, 3)
        self.rungs = [
            {
                "name": rung.name,
                "width": rung.width,
                "height": rung.height,
                "fps": round(rung.fps, 3),
                "video_kbps": rung.video_kbps,
                "copied": rung.copied,
            }
            for rung in run.plan.rungs
        ]

    def dumps(self) -> bytes:
        """The file's content."""
        # One line: json indents in Python, at ten times the cost, and asdict copies deeply.
        own = {item.name: getattr(self, item.name) for item in fields(self)}
        return (json.dumps({"version": 1, **own, "updated": _now()}) + "\n").encode()


def _now() -> str:
    return iso(time.time())
