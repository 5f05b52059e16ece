"""What has been published of a stream, in the figures that `status.json` carries for operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from appliance.media.package.catalogue import moment

if TYPE_CHECKING:
    from appliance.media.package.catalogue import RenditionState, StreamState

_MEASURED_SEGMENTS: Final = 10
"""So many of the newest give a rendition's bitrate: 20 s with segments of 2 s."""


def overview(
    state: StreamState, *, segment_at: float | None = None, part_at: float | None = None
) -> dict[str, Any]:
    """The figures of `state`; times are ISO 8601 in UTC, and None where they are not known.

    `segment_at` and `part_at` (unix time) tell when the newest segment and part were published. Without the
    first, as after a restart, the end of the newest segment's media stands for it.
    """
    newest = [entry for item in state.renditions for entry in item.entries[-1:]]
    end = max((entry.starts_at + entry.duration for entry in newest), default=None)
    return {
        "epoch": state.epoch,
        "next_msn": state.next_msn,
        "discontinuities": state.earlier_breaks + len(state.breaks),
        "content_key": None if state.kid is None else {"kid": state.kid, "since": _iso(state.kid_since)},
        "newest_segment": _iso(segment_at or end),
        "newest_part": _iso(part_at),
        "renditions": [_rendition(item) for item in state.renditions if item.active],
    }


def _rendition(item: RenditionState) -> dict[str, Any]:
    whole = [entry for entry in item.entries if not entry.open]
    measured = [entry for entry in whole if not entry.gap and entry.duration][-_MEASURED_SEGMENTS:]
    seconds = sum(entry.duration for entry in measured)
    return {
        "name": item.name,
        "kind": item.kind,
        "codecs": item.codecs,
        "kbps": round(sum(entry.size for entry in measured) * 8 / 1000 / seconds) if seconds else None,
        "segments": len(whole),
        "gaps": sum(entry.gap for entry in whole),
    }


def _iso(unix: float | None) -> str | None:
    return None if unix is None else moment(unix).isoformat(timespec="milliseconds")
