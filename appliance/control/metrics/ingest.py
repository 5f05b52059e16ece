"""What the ingest nginx receives, by its own /stat (ngx_rtmp_stat_module)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from appliance.control.metric_families import counter, gauge, put
from appliance.control.stat import StatUnavailableError, live_streams, read_xml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree.ElementTree import Element

    from prometheus_client.metrics_core import Metric

_MILLISECONDS: Final = 1000


def ingest_metrics(xml: bytes | None) -> Iterator[Metric]:
    """What `xml` says; None: it did not answer."""
    root = None
    if xml is not None:
        try:
            root = read_xml(xml)
        except StatUnavailableError:
            root = None
    up = gauge("rtmp_up", "1 when the ingest server answers.")
    up.add_metric([], root is not None)
    yield up
    if root is not None:
        yield from _server(root)
        yield from _streams(root)


def _server(root: Element) -> Iterator[Metric]:
    for name, text, tag in (
        ("rtmp_connections_accepted", "Connections that the ingest server took.", "naccepted"),
        ("rtmp_received_bytes", "Bytes that the ingest server received.", "bytes_in"),
        (
            "rtmp_sent_bytes",
            "Bytes that the ingest server sent, to the streams' own readers above all.",
            "bytes_out",
        ),
    ):
        family = counter(name, text)
        put(family, [], _number(root, tag))
        yield family
    uptime = gauge("rtmp_uptime_seconds", "For how long the ingest server's worker has been running.")
    put(uptime, [], _number(root, "uptime"))
    yield uptime


def _streams(root: Element) -> Iterator[Metric]:
    publishing = gauge("rtmp_stream_publishing", "1 while somebody publishes the stream.", "stream")
    clients = gauge("rtmp_stream_clients", "Connections of the stream, its publisher among them.", "stream")
    received = counter("rtmp_stream_received_bytes", "Bytes that the stream's publisher has sent.", "stream")
    dropped = counter(
        "rtmp_stream_dropped_messages", "Messages that the stream's readers were too slow for.", "stream"
    )
    connected = gauge(
        "rtmp_stream_connected_seconds", "For how long the stream's publisher has been connected.", "stream"
    )
    for name, stream in live_streams(root):
        peers = stream.findall("client")
        publisher = next((peer for peer in peers if peer.find("publishing") is not None), None)
        publishing.add_metric([name], publisher is not None)
        clients.add_metric([name], len(peers))
        put(received, [name], _number(stream, "bytes_in"))
        dropped.add_metric([name], sum(_number(peer, "dropped") or 0 for peer in peers))
        if publisher is not None:
            put(connected, [name], _number(publisher, "time"), 1 / _MILLISECONDS)
    yield from (publishing, clients, received, dropped, connected)


def _number(element: Element, tag: str) -> float | None:
    text = element.findtext(tag, "")
    return float(text) if text.isascii() and text.isdigit() else None
