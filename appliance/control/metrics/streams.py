"""What the status files of this host's streams say.

Read when it is asked for: nothing is kept between two scrapes, and the streams' processes know nothing of it.
The files are the group's (`appliance-media`), which the service is a member of for their keys already.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from appliance.control.metric_families import counter, gauge, put
from appliance.media.alerts import Alert
from appliance.media.encode.encoder import CODECS
from appliance.media.package.rendition import RENDITION_NAME
from appliance.media.status import State
from appliance.media.status_reading import read_status, streams_on_disk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from prometheus_client.metrics_core import Metric

    from appliance.media.status_reading import Reading
    from appliance.names import StreamName

_BYTES: Final = 125
"""Of the status's kilobits: the base unit is the byte."""


class StreamCollector(Collector):
    """The streams below a media root, as metrics.

    A stream whose process is gone has the first few alone: figures of then would be taken for those of now.

    Parameters
    ----------
    clock
        Unix time.
    """

    def __init__(self, root: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._root = root
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """Reads every status file once. Raises OSError when the media root cannot be read."""
        families = _Families()
        now = self._clock()
        for stream in streams_on_disk(self._root):
            status = read_status(self._root / stream)
            fresh = status is not None and status.fresh(now)
            families.up.add_metric([stream], fresh)
            if status is not None:
                families.add_lasting(stream, status)
                if fresh:
                    families.add_present(stream, status)
        return iter(families.all())


class _Families:
    """The metrics of one scrape. Labels take their values from what the code or a ladder names, and from
    nothing that a publisher can choose freely."""

    def __init__(self) -> None:
        self._made: list[GaugeMetricFamily | CounterMetricFamily | InfoMetricFamily] = []
        self.up = self._gauge("up", "1 while the stream's process writes its status.")
        self._written = self._gauge("status_timestamp_seconds", "When the stream's status was written last.")
        self._newest = self._gauge(
            "newest_segment_timestamp_seconds", "When the stream's newest segment was published."
        )
        self._state = self._gauge("state", "1 for the state that the stream is in.", "state")
        self._encoder = InfoMetricFamily(
            "appliance_stream_encoder", "The encoder that was chosen.", labels=["stream"]
        )
        self._made.append(self._encoder)
        self._speed = self._gauge(
            "encode_speed_ratio", "Share of what FFmpeg was given that it took, over ten seconds; 1 keeps up."
        )
        self._behind = self._gauge("encode_behind_seconds", "Media that FFmpeg has not taken yet.")
        self._frames = self._gauge("encode_frames_per_second", "Pictures that FFmpeg takes.")
        self._source_frames = self._gauge("source_frames_per_second", "Pictures that the publisher sends.")
        self._source = self._gauge("source_bytes_per_second", "What the publisher sends, over five seconds.")
        self._keyframes = self._gauge(
            "source_keyframe_interval_seconds", "Between the source's last two keyframes."
        )
        self._alert = self._gauge("alert", "1 while the alert is raised and not over.", "alert")
        self._runs = self._counter("runs", "Runs of FFmpeg since the stream's process began.")
        self._breaks = self._counter("discontinuities", "Discontinuities since the epoch began.")
        self._key = self._gauge(
            "content_key_timestamp_seconds", "Since when the present content key is in use."
        )
        self._rate = self._rung("bytes_per_second", "Measured over the newest segments of a rendition.")
        self._declared = self._rung("declared_bytes_per_second", "The rung's video bitrate in the ladder.")
        self._copied = self._rung("copied", "1 when the rung is the source itself, not encoded.")
        self._dropped = self._rung("dropped", "1 when the rung was given up because encoding was too slow.")
        self._published = self._rung_counter("segments_published", "Whole segments since the epoch began.")
        self._lost = self._rung_counter(
            "segments_lost", "Those that could not be written, or were cut off with their process."
        )
        self._parts = self._rung_counter("parts_published", "Low-latency parts since the process began.")
        self._delay = self._rung(
            "packaging_delay_seconds",
            "From the arrival of the newest part's (without parts: segment's) last frame to its publication.",
        )
        self._rung_newest = self._rung(
            "newest_segment_timestamp_seconds", "When the rung's newest segment was published."
        )

    def all(self) -> list[GaugeMetricFamily | CounterMetricFamily | InfoMetricFamily]:
        """Every metric, in the order above."""
        return self._made

    def add_lasting(self, stream: StreamName, status: Reading) -> None:
        """What holds, whenever the status was written."""
        put(self._written, [stream], status.time("updated"))
        put(self._newest, [stream], status.time("media", "newest_segment"))

    def add_present(self, stream: StreamName, status: Reading) -> None:
        """What holds at the time of writing only."""
        for state in State:
            self._state.add_metric([stream, state.value], status.text("state") == state.value)
        family, codec = status.text("encoder", "family"), status.text("encoder", "codec")
        if (family, codec) in CODECS.items():
            self._encoder.add_metric([stream], {"family": str(family), "codec": str(codec)})
        put(self._speed, [stream], status.number("speed"))
        put(self._behind, [stream], status.number("behind"))
        put(self._frames, [stream], status.number("fps"))
        put(self._source_frames, [stream], status.number("source", "video", "fps"))
        put(self._source, [stream], status.number("bitrate_kbps"), _BYTES)
        put(self._keyframes, [stream], status.number("source", "video", "keyframe_seconds"))
        raised = {item.text("name") for item in status.items("alerts") if not item.flag("over")}
        for alert in Alert:
            self._alert.add_metric([stream, alert.value.name], alert.value.name in raised)
        put(self._runs, [stream], status.number("run"))
        put(self._breaks, [stream], status.number("media", "discontinuities"))
        put(self._key, [stream], status.time("media", "content_key", "since"))
        for name, item in _named(status.items("media", "renditions")):
            put(self._rate, [stream, name], item.number("kbps"), _BYTES)
            put(self._published, [stream, name], item.number("segments"))
            put(self._lost, [stream, name], item.number("lost"))
            put(self._parts, [stream, name], item.number("parts"))
            put(self._delay, [stream, name], item.number("delay_seconds"))
            put(self._rung_newest, [stream, name], item.time("newest_segment"))
        dropped = dict(_named(status.items("dropped_rungs")))
        for name in dropped:
            self._dropped.add_metric([stream, name], 1)
        for name, item in _named(status.items("rungs")):
            if name not in dropped:
                self._dropped.add_metric([stream, name], 0)
                self._copied.add_metric([stream, name], item.flag("copied"))
                put(self._declared, [stream, name], item.number("video_kbps"), _BYTES)

    def _gauge(self, name: str, text: str, *labels: str) -> GaugeMetricFamily:
        family = gauge(f"stream_{name}", text, "stream", *labels)
        self._made.append(family)
        return family

    def _counter(self, name: str, text: str) -> CounterMetricFamily:
        family = counter(f"stream_{name}", text, "stream")
        self._made.append(family)
        return family

    def _rung(self, name: str, text: str) -> GaugeMetricFamily:
        family = gauge(f"rung_{name}", text, "stream", "rung")
        self._made.append(family)
        return family

    def _rung_counter(self, name: str, text: str) -> CounterMetricFamily:
        family = counter(f"rung_{name}", text, "stream", "rung")
        self._made.append(family)
        return family


def _named(items: list[Reading]) -> list[tuple[str, Reading]]:
    """The items with a rendition's name, each name once: Prometheus refuses one series given twice."""
    found = {name: item for item in items if (name := item.text("name")) is not None}
    return [(name, item) for name, item in found.items() if re.fullmatch(RENDITION_NAME, name)]
