"""A status file as a stream's process writes it, with everything in it that can be."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from appliance.media.alerts import Alert, Alerts
from appliance.media.status import STATUS_FILE, StreamStatus

if TYPE_CHECKING:
    from pathlib import Path

KID = "1-" + "0f" * 16


def iso(unix: float) -> str:
    """Return unix time as the file has it."""
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds")


def content(now: float, *, stream: str = "demo") -> dict[str, Any]:
    """Return the fields of a live stream with two rungs, one rung dropped, an alert, and one that is over."""
    alerts = Alerts(clock=lambda: 0.0, wall=lambda: now - 90)
    alerts.note(Alert.SLOW_ENCODING, "it runs at 0.80 of real time")
    [raised] = alerts.describe()
    status = StreamStatus(
        stream,
        state="live",
        reason="publishing",
        since=iso(now - 300),
        reader="connected",
        encoder={"family": "x264", "codec": "libx264", "reason": "NVENC does not work here: [no device]"},
        source={"text": "H.264 High 1920x1080 30 fps", "video": {"keyframe_seconds": 2.0}},
        encoded_because="a keyframe every 9 s",
        rungs=[
            {"name": name, "width": width, "height": height, "fps": 30, "video_kbps": kbps, "copied": False}
            for name, width, height, kbps in (("720p", 1280, 720, 2800), ("480p", 854, 480, 1400))
        ],
        dropped_rungs=[{"name": "1080p", "reason": "encoding ran at 0.80 of real time"}],
        run=3,
        ffmpeg_pid=4711,
        fps=29.9,
        speed=0.998,
        bitrate_kbps=6021,
        last_ending="the source has changed",
        last_ended=iso(now - 200),
        media={
            "epoch": "abc12345",
            "next_msn": 150,
            "discontinuities": 2,
            "content_key": {"kid": KID, "since": iso(now - 180)},
            "newest_segment": iso(now - 1.5),
            "newest_part": iso(now - 0.1),
            "renditions": [
                {"name": name, "kind": kind, "codecs": "", "kbps": kbps, "segments": 21, "gaps": gaps}
                for name, kind, kbps, gaps in (
                    ("720p", "video", 2750, 1),
                    ("480p", "video", 1390, 0),
                    ("audio", "audio", 128, 0),
                )
            ],
        },
        alerts=[raised, {**raised, "name": "storage_full", "over": True}],
    )
    return {**json.loads(status.dumps()), "updated": iso(now - 0.4)}


def put(root: Path, fields: object, *, stream: str = "demo") -> None:
    """Write `fields` as the status of `stream` below a media root."""
    (root / stream).mkdir(parents=True, exist_ok=True)
    (root / stream / STATUS_FILE).write_text(fields if isinstance(fields, str) else json.dumps(fields))
