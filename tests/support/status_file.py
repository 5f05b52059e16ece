"""A status file as a stream's process writes it, with everything in it that can be."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from appliance.media.alerts import Alert, Alerts
from appliance.media.package.catalogue import Entry, RenditionState, StreamState
from appliance.media.package.overview import overview
from appliance.media.status import STATUS_FILE, StreamStatus

if TYPE_CHECKING:
    from pathlib import Path

KID = "1-" + "0f" * 16


def iso(unix: float) -> str:
    """Return unix time as the file has it."""
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds")


def published(now: float) -> StreamState:
    """Return what a packager knows of that stream: 150 segments, the last of them 1.5 s old."""
    renditions = []
    for name, kind, kbps, lost in (
        ("720p", "video", 2750, 1),
        ("480p", "video", 1390, 0),
        ("audio", "audio", 128, 0),
    ):
        size = kbps * 1000 * 2 // 8
        renditions.append(
            RenditionState(
                name,
                "audio" if kind == "audio" else "video",
                total_segments=150 - lost,
                lost_segments=lost,
                newest_at=now - 1.5,
                parts=1490,
                delay=0.031,
                entries=[Entry(msn, now - 2 * (150 - msn), 2.0, size, 0) for msn in range(130, 150)],
            )
        )
    return StreamState(
        "abc12345",
        2,
        renditions=renditions,
        next_msn=150,
        breaks=[140],
        earlier_breaks=1,
        kid=KID,
        kid_since=now - 180,
    )


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
        source={"text": "H.264 High 1920x1080 30 fps", "video": {"fps": 30.0, "keyframe_seconds": 2.0}},
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
        behind=0.2,
        media=overview(published(now)),
        alerts=[raised, {**raised, "name": "storage_full", "over": True}],
    )
    return {**json.loads(status.dumps()), "updated": iso(now - 0.4)}


def put(root: Path, fields: object, *, stream: str = "demo") -> None:
    """Write `fields` as the status of `stream` below a media root."""
    (root / stream).mkdir(parents=True, exist_ok=True)
    (root / stream / STATUS_FILE).write_text(fields if isinstance(fields, str) else json.dumps(fields))
