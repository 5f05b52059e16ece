"""The last hours of all hosts together, minute by minute, as the plots take them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from appliance.state.host_reports import SAMPLE_SECONDS, SAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from appliance.state.host_reports import Sample

FIGURES: Final = ("viewers", "sent_kbps", "received_kbps")
"""What a sample has, in this order."""

_Row = list["int | None"]


def history(hosts: Iterable[Sequence[Sample]], *, now: float | None = None) -> dict[str, Any]:
    """{step, end, total, streams}: under each figure's name a value for each minute, None where nobody told.

    Hosts' values of a minute are added up. The last one is that of `end` (Unix seconds), step seconds after
    the one before.
    """
    last = int((time.time() if now is None else now) // SAMPLE_SECONDS)
    total, streams = _rows(), dict[str, dict[str, _Row]]()
    for samples in hosts:
        # A service that has just begun may tell twice of one minute: the later sample stands for it.
        by_minute = {int(sample.at // SAMPLE_SECONDS): sample.content for sample in samples}
        # Hosts tell in the middle of a minute. Until then the one before stands for it: no sum lacks them.
        if last not in by_minute and last - 1 in by_minute:
            by_minute[last] = by_minute[last - 1]
        for minute, content in by_minute.items():
            place = minute - last + SAMPLES - 1
            if not 0 <= place < SAMPLES:
                continue
            _add(total, place, content.get("total"))
            for name, values in content.get("streams", {}).items():
                _add(streams.setdefault(name, _rows()), place, values)
    return {"step": SAMPLE_SECONDS, "end": last * SAMPLE_SECONDS, "total": total, "streams": streams}


def _rows() -> dict[str, _Row]:
    return {name: [None] * SAMPLES for name in FIGURES}


def _add(rows: dict[str, _Row], place: int, values: Sequence[int] | None) -> None:
    if values is None or len(values) != len(FIGURES):
        return
    for name, value in zip(FIGURES, values, strict=True):
        rows[name][place] = (rows[name][place] or 0) + value
