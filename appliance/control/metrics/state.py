"""Valkey, and the events that wait in it for the backend."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from appliance.control.metric_families import counter, gauge, put
from appliance.state.events import Depth, Events
from appliance.state.valkey import StateUnavailableError, translated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client.metrics_core import Metric

    from appliance.state.valkey import State


@dataclass(frozen=True, slots=True)
class StateReport:
    """What Valkey said: its INFO, how long that took (s), and the events that wait."""

    info: Mapping[str, Any]
    seconds: float
    events: Depth


async def ask_state(state: State) -> StateReport | None:
    """What Valkey says now; None when it does not answer."""
    began = time.perf_counter()
    try:
        with translated():
            info = await state.client.info()
        seconds = time.perf_counter() - began
        return StateReport(info, seconds, await Events(state).depth())
    except StateUnavailableError:
        return None


def state_metrics(report: StateReport | None, *, with_events: bool) -> Iterator[Metric]:
    """`report` as metrics; events only where there is a backend for them."""
    up = gauge("valkey_up", "1 when Valkey answers.")
    up.add_metric([], report is not None)
    yield up
    if report is None:
        return
    info = report.info
    seconds = gauge("valkey_response_seconds", "How long Valkey took to say what follows.")
    seconds.add_metric([], report.seconds)
    yield seconds
    primary = gauge("valkey_primary", "1 when this Valkey is a primary, 0 when it is a replica.")
    primary.add_metric([], info.get("role") == "master")
    yield primary
    for name, text, field in (
        (
            "valkey_append_only_file_ok",
            "1 while Valkey can write its append-only file.",
            "aof_last_write_status",
        ),
        (
            "valkey_append_only_file_rewrite_ok",
            "1 while Valkey can write its append-only file anew, which else only grows.",
            "aof_last_bgrewrite_status",
        ),
        ("valkey_snapshot_ok", "1 while Valkey's last snapshot (RDB) was written.", "rdb_last_bgsave_status"),
    ):
        good = gauge(name, text)
        good.add_metric([], info.get(field) == "ok")
        yield good
    for name, text, field in (
        ("valkey_memory_used_bytes", "Memory of Valkey's data.", "used_memory"),
        ("valkey_memory_max_bytes", "Its bound; beyond it Valkey takes no more.", "maxmemory"),
        ("valkey_clients", "Connections to Valkey.", "connected_clients"),
    ):
        family = gauge(name, text)
        put(family, [], _number(info, field))
        yield family
    for name, text, field in (
        ("valkey_commands", "Commands that Valkey has done.", "total_commands_processed"),
        ("valkey_rejected_connections", "Connections beyond its maxclients.", "rejected_connections"),
        ("valkey_error_replies", "Commands that Valkey refused.", "total_error_replies"),
    ):
        total = counter(name, text)
        put(total, [], _number(info, field))
        yield total
    if with_events:
        events = gauge(
            "events",
            "Events for the backend: new ones, those that are being told, and dead letters.",
            "state",
        )
        for state, count in (
            ("new", report.events.new),
            ("pending", report.events.pending),
            ("dead", report.events.dead),
        ):
            events.add_metric([state], count)
        yield events


def _number(info: Mapping[str, Any], field: str) -> float | None:
    value = info.get(field)
    return float(value) if isinstance(value, int | float) else None
