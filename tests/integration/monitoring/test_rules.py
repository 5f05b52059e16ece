"""Every alert fires at its fault and is over when that is mended: promtool with the rules as they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.support.expressions import RULES, alerts
from tests.support.prometheus import promtool

HOST = 'instance="origin"'
STREAM = f'{HOST},stream="demo"'
INTERVAL_S = 30

# Eight minutes each of well, ill and well again, as promtool writes series: a value and how often it follows.
EACH = 16
MANY = 30


def steps(well: float, ill: float) -> str:
    """Return a series that is well, then ill, then well."""
    return f"{well}+0x{EACH - 1} {ill}+0x{EACH - 1} {well}+0x{2 * EACH}"


def steps_between(first: float, second: float) -> str:
    """Return a series that is 0, then one and the other by turns, then 0."""
    ill = " ".join(f"{first} {second}" for _ in range(EACH // 2))
    return f"0x{EACH - 1} {ill} 0x{2 * EACH}"


def for_long(well: float, ill: float) -> str:
    """Return the same, ill for as long as LONG says."""
    return f"{well}+0x{EACH - 1} {ill}+0x{MANY - 1} {well}+0x{EACH}"


def growing(well: float, ill: float) -> str:
    """Return a counter that grows by so much at each scrape."""
    first, second = well * EACH, well * EACH + ill * EACH
    return f"0+{well}x{EACH - 1} {first}+{ill}x{EACH - 1} {second}+{well}x{2 * EACH}"


@dataclass(frozen=True)
class Fault:
    """What makes one alert fire; `labels` are some that it must have then."""

    series: dict[str, str]
    labels: dict[str, str] = field(default_factory=dict)


OF_STREAM = {"stream": "demo"}
TMPFS = f'{HOST},fstype="tmpfs",mountpoint="/srv/hls",device="srv-hls"'
ROOT = f'{HOST},fstype="ext4",mountpoint="/",device="/dev/sda1"'
CERTIFICATE = "appliance_delivery_certificate_not_after_timestamp_seconds"
DAY_S = 86_400
WAIT = "appliance_delivery_reload_wait_seconds_bucket"
DECISION = "appliance_control_request_duration_seconds_bucket"
BACKEND = "appliance_backend_request_duration_seconds_bucket"
_LAST_S = INTERVAL_S * (EACH - 1)
STALLED = f"0+{INTERVAL_S}x{EACH - 1} {_LAST_S}+0x{EACH - 1} {2 * INTERVAL_S * EACH}+{INTERVAL_S}x{2 * EACH}"
"""When the newest segment was published."""


def fast_then_slow(name: str, labels: str, bounds: tuple[str, str, str]) -> dict[str, str]:
    """Return a histogram whose observations are below the first bound, then above the second."""
    low, high, top = bounds
    return {
        f'{name}{{{labels},le="{low}"}}': growing(10, 0),
        f'{name}{{{labels},le="{high}"}}': growing(10, 0),
        f'{name}{{{labels},le="{top}"}}': growing(10, 10),
        f'{name}{{{labels},le="+Inf"}}': growing(10, 10),
    }


FAULTS = {
    "HostSilent": Fault({f'up{{{HOST},job="node"}}': steps(1, 0)}),
    "MediaMemoryFull": Fault(
        {
            f"node_filesystem_avail_bytes{{{TMPFS}}}": steps(500, 50),
            f"node_filesystem_size_bytes{{{TMPFS}}}": steps(1000, 1000),
        },
        {"mountpoint": "/srv/hls"},
    ),
    "DiskFull": Fault(
        {
            f"node_filesystem_avail_bytes{{{ROOT}}}": steps(500, 50),
            f"node_filesystem_size_bytes{{{ROOT}}}": steps(1000, 1000),
        },
        {"mountpoint": "/"},
    ),
    "MemoryShort": Fault(
        {
            f"node_memory_MemAvailable_bytes{{{HOST}}}": steps(500, 20),
            f"node_memory_MemTotal_bytes{{{HOST}}}": steps(1000, 1000),
        }
    ),
    "KilledForMemory": Fault({f"node_vmstat_oom_kill{{{HOST}}}": growing(0, 1)}),
    "CpuBusy": Fault({f'node_cpu_seconds_total{{{HOST},cpu="0",mode="idle"}}': growing(10, 0.1)}),
    "ClockWrong": Fault(
        {
            f"node_timex_offset_seconds{{{HOST}}}": steps(0, 0),
            f"node_timex_sync_status{{{HOST}}}": for_long(1, 0),
        }
    ),
    "IngestDown": Fault({f"appliance_rtmp_up{{{HOST}}}": steps(1, 0)}),
    "StreamProcessSilent": Fault({f"appliance_stream_up{{{STREAM}}}": steps(1, 0)}, OF_STREAM),
    "StreamStalled": Fault(
        {
            f"appliance_stream_newest_segment_timestamp_seconds{{{STREAM}}}": STALLED,
            f"appliance_configured_segment_seconds{{{HOST}}}": steps(2, 2),
            f'appliance_stream_state{{{STREAM},state="live"}}': steps(1, 1),
        },
        OF_STREAM,
    ),
    "StreamAiling": Fault(
        {f'appliance_stream_alert{{{STREAM},alert="storage_full"}}': steps(0, 1)},
        {**OF_STREAM, "alert": "storage_full"},
    ),
    "EncodingSlow": Fault({f"appliance_stream_encode_speed_ratio{{{STREAM}}}": steps(1, 0.8)}, OF_STREAM),
    "PackagingLate": Fault(
        {f'appliance_rung_packaging_delay_seconds{{{STREAM},rung="720p"}}': steps(0.2, 5)}, OF_STREAM
    ),
    "SegmentsLost": Fault(
        {f'appliance_rung_segments_lost_total{{{STREAM},rung="720p"}}': growing(0, 1)}, OF_STREAM
    ),
    "ContentKeyOld": Fault(
        {
            f"appliance_stream_content_key_timestamp_seconds{{{STREAM}}}": steps(0, -200_000),
            f"appliance_configured_content_key_seconds{{{HOST}}}": steps(86_400, 86_400),
            f'appliance_stream_state{{{STREAM},state="live"}}': steps(1, 1),
        },
        OF_STREAM,
    ),
    "PicturesDropped": Fault(
        {f"appliance_rtmp_stream_dropped_messages_total{{{STREAM}}}": growing(0, 100)}, OF_STREAM
    ),
    "DeliveryDown": Fault({f"appliance_delivery_up{{{HOST}}}": steps(1, 0)}),
    # It was renewed in time, then not, then it was.
    "CertificateEndsSoon": Fault({f"{CERTIFICATE}{{{HOST}}}": for_long(40 * DAY_S, 20 * DAY_S)}),
    "CertificateOver": Fault({f"{CERTIFICATE}{{{HOST}}}": steps(40 * DAY_S, 60)}),
    "DeliveryFails": Fault(
        {
            f'appliance_delivery_requests_total{{{STREAM},kind="media",code="2xx"}}': growing(100, 100),
            f'appliance_delivery_requests_total{{{STREAM},kind="media",code="5xx"}}': growing(0, 20),
        }
    ),
    "ReloadsWaitLong": Fault(
        fast_then_slow(WAIT, STREAM, ("0.3", "1.0", "2.0"))
        | {f"appliance_configured_reload_hold_seconds{{{HOST}}}": steps(1.2, 1.2)},
        OF_STREAM,
    ),
    "ValkeyDown": Fault({f"appliance_valkey_up{{{HOST}}}": steps(1, 0)}),
    "ValkeyFull": Fault(
        {
            f"appliance_valkey_memory_used_bytes{{{HOST}}}": steps(10, 95),
            f"appliance_valkey_memory_max_bytes{{{HOST}}}": steps(100, 100),
        }
    ),
    "ValkeyCannotWrite": Fault({f"appliance_valkey_append_only_file_ok{{{HOST}}}": steps(1, 0)}),
    "ValkeyCannotSave": Fault(
        {
            f"appliance_valkey_append_only_file_rewrite_ok{{{HOST}}}": steps(1, 0),
            f"appliance_valkey_snapshot_ok{{{HOST}}}": steps(1, 1),
        }
    ),
    "DecisionsFail": Fault(
        {f'appliance_control_requests_total{{{HOST},endpoint="view",code="503"}}': growing(0, 10)},
        {"endpoint": "view"},
    ),
    "DecisionsSlow": Fault(
        fast_then_slow(DECISION, f'{HOST},endpoint="view"', ("0.01", "0.5", "1.0")),
        {"endpoint": "view"},
    ),
    "ManyPublishesRefused": Fault(
        {f'appliance_control_requests_total{{{HOST},endpoint="publish",code="403"}}': growing(0, 60)}
    ),
    "BackendSilent": Fault(
        {
            f'appliance_backend_breaker_state{{{HOST},state="open"}}': steps_between(0, 1),
            f'appliance_backend_breaker_state{{{HOST},state="half-open"}}': steps_between(1, 0),
            f'appliance_backend_breaker_state{{{HOST},state="closed"}}': steps(1, 0),
        }
    ),
    "BackendSlow": Fault(
        fast_then_slow(BACKEND, f'{HOST},path="/auth/play"', ("0.1", "1.0", "2.5")),
        {"path": "/auth/play"},
    ),
    "EventsPileUp": Fault({f'appliance_events{{{HOST},state="new"}}': steps(0, 500)}),
    "EventsGivenUp": Fault({f'appliance_events{{{HOST},state="dead"}}': steps(0, 1)}),
    "RotationOverdue": Fault(
        {
            f'appliance_secret_rotation_due_timestamp_seconds{{{HOST},secret="master-key"}}': for_long(
                7 * DAY_S, 60
            )
        },
        {"secret": "master-key"},
    ),
    "NoRoomForStreams": Fault({f"appliance_capacity_refused_publishes_total{{{HOST}}}": growing(0, 1)}),
    "GpuFailed": Fault({f'appliance_gpu_failed{{{HOST},gpu="0"}}': steps(0, 1)}, {"gpu": "0"}),
    "GpuHot": Fault({f'appliance_gpu_temperature_celsius{{{HOST},gpu="0"}}': steps(50, 92)}),
    "GpuMemoryFull": Fault(
        {
            f'appliance_gpu_memory_used_bytes{{{HOST},gpu="0"}}': steps(10, 99),
            f'appliance_gpu_memory_bytes{{{HOST},gpu="0"}}': steps(100, 100),
        }
    ),
    "RulesNotLoaded": Fault({f"prometheus_config_last_reload_successful{{{HOST}}}": steps(1, 0)}),
    "AlertsNotSent": Fault(
        {f'alertmanager_notifications_failed_total{{{HOST},integration="webhook"}}': growing(0, 1)}
    ),
}
LONG = {"CertificateEndsSoon": MANY, "ClockWrong": MANY, "RotationOverdue": MANY}
"""Those that wait for longer than the eight minutes of the others: scrapes until they have fired."""

OVER_S = {"KilledForMemory": 600, "AlertsNotSent": 600}
"""What looks back so far is over so much later."""


def test_every_alert_has_its_fault() -> None:
    assert set(FAULTS) == set(alerts())


def test_every_alert_says_how_bad_it_is_and_what_shows_more() -> None:
    for name, rule in alerts().items():
        assert rule["labels"]["severity"] in ("critical", "warning"), name
        assert set(rule["annotations"]) == {"summary", "run"}, name


def test_the_rules_are_sound() -> None:
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", str(RULES))
    assert done.returncode == 0, done.stdout


def expected(name: str, at_s: int, labels: dict[str, str] | None) -> dict[str, Any]:
    """Return what has to be firing then: one alert with `labels`, or none."""
    by = sorted(labels or {"instance": ""})
    samples = []
    if labels is not None:
        text = ",".join(f'{key}="{labels[key]}"' for key in by)
        samples = [{"labels": f"{{{text}}}", "value": 1}]
    firing = f'ALERTS{{alertname="{name}",alertstate="firing",instance="{name}"}}'
    return {
        "expr": f"count by ({', '.join(by)}) ({firing})",
        "eval_time": f"{at_s}s",
        "exp_samples": samples,
    }


def test_every_alert_fires_and_is_over(tmp_path: Path) -> None:
    """In one of promtool's tests, as each begins with an empty database: each fault has its own host."""
    series, questions = [], []
    for name, fault in FAULTS.items():
        fired_at = (EACH + LONG.get(name, EACH) - 1) * INTERVAL_S
        for key, values in fault.series.items():
            longer = f"{values} {EACH}+0x60" if name in OVER_S else values
            series.append({"series": key.replace(HOST, f'instance="{name}"'), "values": longer})
        questions += [
            expected(name, (EACH - 1) * INTERVAL_S, None),
            expected(name, fired_at, {**fault.labels, "instance": name}),
            expected(name, fired_at + 420 + OVER_S.get(name, 0), None),
        ]
    test = {"interval": f"{INTERVAL_S}s", "input_series": series, "promql_expr_test": questions}
    document = {"rule_files": [str(RULES)], "evaluation_interval": f"{INTERVAL_S}s", "tests": [test]}
    file = tmp_path / "tests.yml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    done = promtool("test", "rules", str(file))
    assert done.returncode == 0, done.stdout


def test_a_publish_without_room_is_no_decision_that_fails(tmp_path: Path) -> None:
    """Of 2 publishes a second, all are answered 503: 1.9 for want of room, or all of them."""
    asked = 'appliance_control_requests_total{instance="NAME",endpoint="publish",code="503"}'
    room = 'appliance_capacity_refused_publishes_total{instance="NAME"}'
    series, questions = [], []
    for name, refused, fires in (("full", 60, False), ("broken", 57, True), ("worse", 0, True)):
        series.append({"series": asked.replace("NAME", name), "values": f"0+60x{EACH}"})
        series.append({"series": room.replace("NAME", name), "values": f"0+{refused}x{EACH}"})
        sample = {"labels": '{endpoint="publish"}', "value": 1}
        firing = f'ALERTS{{alertname="DecisionsFail",alertstate="firing",instance="{name}"}}'
        questions.append(
            {
                "expr": f"count by (endpoint) ({firing})",
                "eval_time": "6m",
                "exp_samples": [sample] if fires else [],
            }
        )
    test = {"interval": f"{INTERVAL_S}s", "input_series": series, "promql_expr_test": questions}
    document = {"rule_files": [str(RULES)], "evaluation_interval": f"{INTERVAL_S}s", "tests": [test]}
    file = tmp_path / "tests.yml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    done = promtool("test", "rules", str(file))
    assert done.returncode == 0, done.stdout


def test_an_alert_waits_unless_it_never_mends_itself() -> None:
    at_once = {"KilledForMemory", "SegmentsLost", "EventsGivenUp", "AlertsNotSent"}
    assert {name for name, rule in alerts().items() if "for" not in rule} == at_once
