"""What has been published of a stream, in the figures that `status.json` carries for operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from appliance.iso_time import iso

if TYPE_CHECKING:
    from appliance.media.package.catalogue import RenditionState, StreamState

_MEASURED_SEGMENTS: Final = 10
"""So many of the newest give a rendition's bitrate: 20 s with segments of 2 s."""


def overview(state: StreamState) -> dict[str, Any]:
    """The figures of `state`; times are ISO 8601 in UTC, and None where they are not known."""
    active = [item for item in state.renditions if item.active]
    return {
        "epoch": state.epoch,
        "next_msn": state.next_msn,
        "discontinuities": state.earlier_breaks + len(state.breaks),
        "content_key": None if state.kid is None else {"kid": state.kid, "since": iso(state.kid_since)},
        "newest_segment": _iso_or_none(max((item.newest_at for item in active), default=0.0)),
        "renditions": [_rendition(item) for item in active],
    }


def _rendition(item: RenditionState) -> dict[str, Any]:
    whole = [entry for entry in item.entries if not (entry.open or entry.gap) and entry.duration]
    measured = whole[-_MEASURED_SEGMENTS:]
    seconds = sum(entry.duration for entry in measured)
    return {
        "name": item.name,
        "kind": item.kind,
        "codecs": item.codecs,
        "kbps": round(sum(entry.size for entry in measured) * 8 / 1000 / seconds) if seconds else None,
        "segments": item.total_segments,
        "lost": item.lost_segments,
        "parts": item.parts,
        "delay_seconds": item.delay and round(item.delay, 3),
        "newest_segment": _iso_or_none(item.newest_at),
    }


def _iso_or_none(unix: float) -> str | None:
    return iso(unix) if unix else None
