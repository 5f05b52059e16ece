"""What is made of the services' words: units, ports, rules, Valkey, /ready, events, secrets, certificates."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import subprocess
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from appliance.health.finding import Finding, Severity, critical
from appliance.health.stream import NVENC_MEND
from appliance.ops.doctor.backend import judge_events
from appliance.ops.doctor.check import Outcome, in_order
from appliance.ops.doctor.configuration import judge_certificate, look_at_credentials, settings
from appliance.ops.doctor.firewall import judge_ruleset
from appliance.ops.doctor.host import Host, listens
from appliance.ops.doctor.network import Holder, Port, judge_holders, judge_ports
from appliance.ops.doctor.rotations import judge_rotations
from appliance.ops.doctor.services import judge_ready
from appliance.ops.doctor.table import ALL
from appliance.ops.doctor.units import NEEDED, judge_units, parse_units, read_words, units
from appliance.ops.doctor.valkey import judge_valkey, silent_valkey
from appliance.ops.doctor.valkey_log import judge_log
from appliance.ops.doctor.versions import comparable, judge_configuration, judge_program, outdated
from appliance.ops.secret_status import SecretStatus
from appliance.secrets.making import make_missing
from appliance.settings import Settings
from appliance.subprocesses import NOT_THERE, Output, run_program


def said(findings: list[Finding]) -> list[str]:
    return [finding.what for finding in findings]


HEALTHY = "\n\n".join(
    f"Id={name}\nLoadState=loaded\nActiveState=active\nSubState=running\nResult=success\nNRestarts=0\n"
    "ActiveEnterTimestampMonotonic=5000000\nUnitFileState=enabled\nNeedDaemonReload=no"
    for name in NEEDED
)


def changed(name: str, **properties: str) -> str:
    """Return the healthy units, and one of them with other properties."""
    blocks = []
    for block in HEALTHY.split("\n\n"):
        lines = dict(line.split("=", 1) for line in block.splitlines())
        lines |= properties if lines["Id"] == name else {}
        blocks.append("\n".join(f"{key}={value}" for key, value in lines.items()))
    return "\n\n".join(blocks)


@pytest.mark.parametrize(
    ("properties", "what", "severity"),
    [
        ({"ActiveState": "inactive", "SubState": "dead"}, "does not run", 2),
        ({"ActiveState": "failed", "SubState": "failed", "Result": "exit-code"}, "has failed", 2),
        ({"ActiveState": "activating", "SubState": "auto-restart"}, "has failed", 2),
        ({"LoadState": "not-found"}, "is not installed", 2),
        ({"LoadState": "masked", "ActiveState": "inactive"}, "is masked", 2),
        ({"UnitFileState": "disabled"}, "is not enabled", 1),
        ({"NRestarts": "4", "ActiveEnterTimestampMonotonic": "990000000"}, "had to be started again", 1),
        ({"NeedDaemonReload": "yes"}, "has changed", 1),
    ],
)
def test_what_systemd_says_of_a_unit(properties: dict[str, str], what: str, severity: int) -> None:
    name = "appliance-ingest.service"
    [finding] = judge_units(parse_units(changed(name, **properties)), 1000.0)
    assert (finding.what, int(finding.severity)) == (f"{name} {what}", severity)
    assert name in finding.mend or "site.yml" in finding.mend or "daemon-reload" in finding.mend


def test_units_that_run_are_no_finding_nor_those_that_were_started_again_long_ago() -> None:
    assert judge_units(parse_units(HEALTHY), 1000.0) == []
    assert judge_units(parse_units(changed("valkey-server.service", NRestarts="4")), 5000.0) == []


STREAM = "stream@demo.service"


def stream_unit_in(sub: str, restarts: int) -> str:
    """Return the healthy units, and a stream's."""
    state = f"ActiveState=activating\nSubState={sub}\nResult=exit-code\nNRestarts={restarts}"
    return f"{HEALTHY}\n\nId={STREAM}\nLoadState=loaded\n{state}\nUnitFileState=static"


@pytest.mark.parametrize(
    ("sub", "restarts", "what"),
    [
        ("start", 8, "ends again and again"),
        ("start-pre", 3, "ends again and again"),
        ("auto-restart", 8, "has failed"),
        ("start", 1, None),  # it comes back
        ("start", 0, None),
    ],
)
def test_a_stream_that_is_started_again_and_again_is_seen_at_any_moment(
    sub: str, restarts: int, what: str | None
) -> None:
    found = judge_units(parse_units(stream_unit_in(sub, restarts)), 1000.0)
    assert said(found) == ([f"{STREAM} {what}"] if what else [])
    if what == "ends again and again":
        assert found[0].severity is Severity.CRITICAL
        assert found[0].seen.endswith(f"started again {restarts} times")


REFUSED = (
    "appliance: encoder: nvenc is set, and h264_nvenc does not work on this host: Cannot load libcuda.so.1\n"
    "  set `encoder: auto` to fall back to x264, or run: ffmpeg -hide_banner -encoders\n"
)
REASON = (
    "encoder: nvenc is set, and h264_nvenc does not work on this host: Cannot load libcuda.so.1; "
    "set `encoder: auto` to fall back to x264, or run: ffmpeg -hide_banner -encoders"
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ""),
        ("one\ntwo\n", "two"),
        (REFUSED, REASON),
        (f"appliance: other\n{REFUSED}" + '{"event": "starting"}\n', REASON),
        ('{"event": "starting"}\n{"event": "Traceback"}\n', '{"event": "Traceback"}'),
    ],
)
def test_the_last_words_of_a_unit_are_its_error_with_what_mends_it(text: str, words: str) -> None:
    assert read_words(text) == words


@pytest.mark.parametrize(
    ("encoder", "text"), [("nvenc", REFUSED), ("nvenc", ""), ("auto", ""), ("nvenc", "x")]
)
async def test_a_stream_whose_encoder_does_not_work_is_told_so(
    monkeypatch: pytest.MonkeyPatch, encoder: Any, text: str
) -> None:
    host = Host(settings=Settings(encoder=encoder))

    async def run(*command: str, **_: Any) -> Output:
        return Output(0, stream_unit_in("start", 8) if command[0] == "systemctl" else text, "")

    monkeypatch.setattr(host, "run", run)
    [finding] = await units(host)
    assert finding.what == f"{STREAM} ends again and again"
    assert (REASON in finding.seen) == (text == REFUSED)
    assert finding.mend.startswith(NVENC_MEND) == (encoder == "nvenc" and text != "x")


def test_valkey_stands_before_who_needs_it() -> None:
    text = HEALTHY.replace("ActiveState=active", "ActiveState=failed")
    assert said(judge_units(parse_units(text), 1000.0)) == [f"{name} has failed" for name in NEEDED]


def test_ports_of_a_configuration() -> None:
    text = """
        listen 1935;
        listen [::]:1935 ipv6only=on;
        listen unix:control.sock;
        listen 127.0.0.1:8081;
        listen 8443 ssl reuseport backlog=16384;
    """
    found = [(one.port, one.public, one.tls) for one in listens(text)]
    assert found == [(1935, True, False), (8081, False, False), (8443, True, True)]


INGEST = Port(1935, "appliance-ingest.service", public=True)


def test_a_port_is_taken_or_empty() -> None:
    ours = {1935: [Holder(1935, "nginx (process 7)", "appliance-ingest.service")]}
    theirs = {1935: [Holder(1935, "python3 (process 9)", "user@0.service")]}
    assert judge_holders([INGEST], ours) == judge_ports([INGEST], ours) == []
    [taken] = judge_holders([INGEST], theirs)
    assert taken.seen.startswith("python3 (process 9) of user@0.service listens there")
    assert said(judge_ports([INGEST], {})) == ["nobody listens on port 1935"]
    # systemd holds the socket of a service that it starts when somebody connects
    control = Port(8000, "appliance-control.service", public=False)
    assert judge_holders([control], {8000: [Holder(8000, "systemd (process 1)", "init.scope")]}) == []


def rule(*expr: dict[str, Any], table: str = "appliance", chain: str = "input") -> dict[str, Any]:
    return {"rule": {"family": "inet", "table": table, "chain": chain, "handle": 1, "expr": list(expr)}}


def dport(right: Any) -> dict[str, Any]:
    return {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": right}}


def chain(table: str = "appliance", policy: str = "drop") -> dict[str, Any]:
    where = {"family": "inet", "table": table, "name": "input", "hook": "input", "prio": 0, "policy": policy}
    return {"chain": where | {"handle": 1, "type": "filter"}}


STATE = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}
OPEN = rule(dport({"set": [1935, 8080, 8443]}), {"accept": None})


def judged(*entries: dict[str, Any], enabled: bool = True) -> list[str]:
    return said(judge_ruleset(json.dumps({"nftables": list(entries)}), [INGEST], enabled=enabled))


def test_the_firewall_lets_in_what_is_served() -> None:
    closed = ["the firewall keeps port 1935 closed"]
    established = rule(STATE, {"accept": None})
    assert judged(chain(), established, OPEN) == []
    assert judged(chain(), rule(dport({"range": [1900, 2000]}), {"accept": None})) == []
    assert judged(chain(), established) == closed
    assert judged(chain(), rule(dport(1935), {"drop": None}), OPEN) == closed
    assert judged(chain(), OPEN, rule(dport(1935), {"drop": None})) == []
    # for some addresses only, so it says nothing of all others
    saddr = {
        "match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "192.0.2.1"}
    }
    assert judged(chain(), rule(saddr, dport(1935), {"drop": None}), OPEN) == []
    new = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "new"}}
    assert judged(chain(), rule(new, dport(1935), {"reject": {"type": "tcp reset"}}), OPEN) == closed
    # for too many connections only
    count = {"ct count": {"val": 20, "inv": True}}
    assert judged(chain(), rule(dport(1935), count, {"drop": None}), OPEN) == []
    # another table may keep it out as well
    assert judged(chain(), OPEN, chain("other"), rule(dport(22), {"accept": None}, table="other")) == closed
    assert judged() == ["the firewall is not loaded"]
    assert judged(enabled=False) == []


CLOSED = ["the firewall keeps port 1935 closed"]
UNKNOWN = ["it cannot be told whether the firewall lets in port 1935"]
ACCEPT: dict[str, Any] = {"accept": None}
DROP: dict[str, Any] = {"drop": None}


def matching(left: dict[str, Any], right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": left, "right": right}}


def vmap(key: dict[str, Any], *pairs: list[Any]) -> dict[str, Any]:
    return {"vmap": {"key": key, "data": {"set": list(pairs)}}}


PORT = {"payload": {"protocol": "tcp", "field": "dport"}}
FLAGS = {"payload": {"protocol": "tcp", "field": "flags"}}
PROTOCOL = {"payload": {"protocol": "ip", "field": "protocol"}}
JUMP, GOTO = {"jump": {"target": "served"}}, {"goto": {"target": "served"}}
SERVED = rule(dport(1935), ACCEPT, chain="served")


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        # chains that a chain asks
        ([rule(JUMP), SERVED], []),
        ([rule(matching({"meta": {"key": "l4proto"}}, "tcp"), GOTO), SERVED], []),
        ([rule(JUMP), rule(dport(22), ACCEPT, chain="served")], CLOSED),
        ([rule(JUMP), rule({"return": None}, chain="served"), SERVED, OPEN], []),
        ([rule(GOTO), rule({"return": None}, chain="served"), SERVED, OPEN], CLOSED),
        ([rule(matching(PROTOCOL, "udp"), JUMP), SERVED], CLOSED),
        ([rule(dport(1935), JUMP), rule(DROP, chain="served"), OPEN], CLOSED),
        # the protocol in the header
        ([rule(matching(PROTOCOL, "tcp"), dport(1935), ACCEPT)], []),
        ([rule(matching(PROTOCOL, {"set": ["icmp", "udp"]}), ACCEPT)], CLOSED),
        ([rule(matching(PROTOCOL, "tcp", "!="), DROP), OPEN], []),
        # maps of verdicts
        ([rule(vmap(PORT, [22, ACCEPT], [{"range": [1900, 2000]}, ACCEPT]))], []),
        ([rule(vmap(PORT, [22, ACCEPT]))], CLOSED),
        ([rule(vmap({"ct": {"key": "state"}}, ["established", ACCEPT], ["new", JUMP])), SERVED], []),
        ([rule(vmap({"meta": {"key": "iifname"}}, ["lo", ACCEPT], ["eth0", JUMP])), SERVED], UNKNOWN),
        ([rule({"vmap": {"key": PORT, "data": "@ports"}})], UNKNOWN),
        # what is not known
        ([rule({"xt": {"type": "match", "name": "multiport"}}, ACCEPT)], UNKNOWN),
        ([rule({"xt": {"type": "match", "name": "multiport"}}, ACCEPT), OPEN], []),
        ([rule({"xt": {"type": "match", "name": "multiport"}}, DROP), OPEN], UNKNOWN),
        ([rule(dport("@ports"), ACCEPT)], UNKNOWN),
        ([rule(matching({"meta": {"key": "iifname"}}, "eth0"), dport(1935), ACCEPT)], UNKNOWN),
        ([rule(dport(1935), {"limit": {"rate": 9, "per": "second"}}, ACCEPT)], UNKNOWN),
        # packets that begin no connection
        ([rule(matching({"&": [FLAGS, ["fin", "syn"]]}, "syn", "!="), DROP), OPEN], []),
        ([rule(matching(FLAGS, "syn"), dport(1935), ACCEPT)], UNKNOWN),
        # for the host itself alone
        ([rule(matching({"meta": {"key": "iif"}}, "lo"), ACCEPT)], CLOSED),
    ],
)
def test_a_firewall_is_followed_through_its_chains(rules: list[dict[str, Any]], found: list[str]) -> None:
    assert judged(chain(), *rules) == found
    severity = [finding.severity for finding in judge_ruleset(
        json.dumps({"nftables": [chain(), *rules]}), [INGEST], enabled=True
    )]  # fmt: skip
    assert severity == [Severity.CRITICAL if found == CLOSED else Severity.WARNING] * len(found)


INFO = {
    "role": "master",
    "used_memory": 2 << 20,
    "maxmemory": 256 << 20,
    "maxmemory_policy": "noeviction",
    "aof_enabled": 1,
    "aof_last_write_status": "ok",
    "aof_last_bgrewrite_status": "ok",
    "rdb_last_bgsave_status": "ok",
    "connected_clients": 5,
    "maxclients": 1000,
}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({}, []),
        ({"used_memory": 210 << 20}, ["Valkey is nearly full"]),
        ({"used_memory": 250 << 20}, ["Valkey is full"]),
        ({"aof_enabled": 0}, ["Valkey writes no log"]),
        ({"aof_last_write_status": "err"}, ["Valkey cannot write its log"]),
        (
            {"aof_last_write_status": "err", "aof_last_bgrewrite_status": "err"},
            ["Valkey cannot write its log"],
        ),
        ({"aof_last_bgrewrite_status": "err"}, ["Valkey cannot write its log anew"]),
        ({"rdb_last_bgsave_status": "err"}, ["Valkey cannot write a snapshot"]),
        ({"maxmemory_policy": "allkeys-lru"}, ["Valkey forgets when it is full"]),
        ({"connected_clients": 900}, ["Valkey's connections run out"]),
        (
            {"role": "slave", "master_link_status": "up", "master_last_io_seconds_ago": 1},
            ["Valkey is a replica"],
        ),
        ({"role": "slave", "master_link_status": "down"}, ["Valkey is a replica that lags"]),
    ],
)
def test_what_valkey_says_of_itself(change: dict[str, Any], what: list[str]) -> None:
    assert said(judge_valkey(INFO | change, 0.001)) == what


def test_valkey_is_slow_or_silent() -> None:
    assert said(judge_valkey(INFO, 0.5)) == ["Valkey is slow"]
    refused = silent_valkey("/run/valkey/valkey.sock", "invalid username-password pair or user is disabled.")
    assert "site.yml" in refused.mend
    # systemctl status and the journal show nothing wrong with one that hangs
    hangs = silent_valkey("/x", "Timeout reading from socket")
    assert hangs.mend.startswith("systemctl restart valkey-server")
    assert "systemctl status valkey-server" in hangs.mend


def test_what_ready_says_of_the_parts() -> None:
    parts: dict[str, Any] = {
        "state": {"ok": False, "detail": "Valkey: Timeout reading"},
        "units": {"ok": True},
        "ingest": {"ok": True},
        "backend": {"ok": False, "breaker": "open"},
    }
    found = judge_ready(503, json.dumps({"status": "degraded", "parts": parts}))
    assert [(one.what, one.seen) for one in found] == [
        ("the control service does not reach Valkey", "Valkey: Timeout reading"),
        ("the control service does not reach the backend", "breaker open"),
    ]
    assert judge_ready(200, "") == []
    assert said(judge_ready(502, "<html>")) == ["the control service is not ready"]


def test_a_rotation_that_is_overdue() -> None:
    made = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [SecretStatus(name, made, None, None, overdue=name == "b") for name in ("a", "b")]
    [late] = judge_rotations(rows)
    assert late.what == "the rotation of b is overdue"
    assert late.mend.endswith("appliance secrets rotate b")


def test_events_that_the_backend_did_not_take() -> None:
    assert judge_events(0, 100) == []
    assert said(judge_events(1, 101)) == ["the backend did not take events", "events pile up"]


def test_secrets_are_there_whole_and_closed(tmp_path: Path) -> None:
    directory = tmp_path / "credentials"
    make_missing(directory, None)
    assert look_at_credentials(directory) == []
    (directory / "valkey-password").unlink()
    (directory / "content-keyring").chmod(0o600)
    (directory / "content-keyring").write_text("{}")
    (directory / "admin-token").chmod(0o444)
    found = {finding.what: finding.severity for finding in look_at_credentials(directory)}
    assert found == {
        "the secret content-keyring cannot be used": Severity.CRITICAL,
        "the secret valkey-password cannot be used": Severity.CRITICAL,
        f"{directory / 'admin-token'} is open to others than root": Severity.WARNING,
    }


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        (["appendonly.aof.2.incr.aof format error", "size=2848, ok_up_to=107"], "107 of 2848 bytes"),
        (["0x 64: Expected \\r\\n, got: 0000", "size=102, ok_up_to=79"], None),  # cut off: it loads that
        (["fine", "size=107, ok_up_to=107"], None),
    ],
    ids=["torn", "cut off", "whole"],
)
def test_valkey_s_log(said: list[str], seen: str | None) -> None:
    """As valkey-check-aof 8.1.1 says it."""
    words, sizes = said
    before = "AOF analyzed: filename=appendonly.aof.1.base.rdb, size=89, ok_up_to=89, ok_up_to_line=1\n"
    after = f"AOF {words}\nAOF analyzed: filename=appendonly.aof.2.incr.aof, {sizes}, ok_up_to_line=27\n"
    assert [finding.seen for finding in judge_log(before + after)] == (
        [] if seen is None else [f"/var/lib/valkey/appendonlydir: {seen} of its last file can be read"]
    )


@pytest.mark.parametrize(
    ("days", "what", "severity"),
    [(300, None, None), (20, "ends soon", Severity.WARNING), (-2, "is over", Severity.CRITICAL)],
)
def test_a_certificate_ends(tmp_path: Path, days: int, what: str | None, severity: Severity | None) -> None:
    path = tmp_path / "crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc",
         "-days", "365",
         "-subj", "/CN=x", "-keyout", str(tmp_path / "key"), "-out", str(path)],
        check=True,
        capture_output=True,
    )  # fmt: skip
    found = x509.load_pem_x509_certificate(path.read_bytes())
    now = found.not_valid_after_utc - timedelta(days=days)
    findings = judge_certificate(path, found, now)
    assert [(one.what, one.severity) for one in findings] == (
        [] if what is None else [(f"the certificate {path} {what}", severity)]
    )
    [early] = judge_certificate(path, found, datetime.now(UTC) - timedelta(days=2))
    assert early.what == f"the certificate {path} is not good yet"


def test_what_runs_though_it_was_replaced() -> None:
    assert judge_program("x.service", "/usr/sbin/nginx") == []
    assert said(judge_program("x.service", "/usr/sbin/nginx (deleted)")) == ["x.service runs an old program"]
    file = Path("/etc/nginx/ingest.conf")
    assert judge_configuration("x.service", file, 100.0, 200.0, 300.0) == []
    assert judge_configuration("x.service", file, 201.0, 200.0, 300.0) == []
    assert said(judge_configuration("x.service", file, 250.0, 200.0, 300.0))
    # the clock was set back since
    assert judge_configuration("x.service", file, 9000.0, 200.0, 300.0) == []


POLICY = """nginx:
  Installed: (none)
  Candidate: 1.26.3-3+deb13u11
  Version table:
     1.26.3-3+deb13u11 500
ffmpeg:
  Installed: 7:7.1.4-0+deb13u1
  Candidate: 7:7.1.5-0+deb13u1
"""


@pytest.mark.parametrize(
    ("package", "version", "compared"),
    [
        (
            "appliance-nginx",
            "1.26.3-3+deb13u7+rtmp1.2.2-1+r1a2b3c4d",
            ("1.26.3-3+deb13u7", "1.26.3-3+deb13u11"),
        ),
        ("appliance-nginx", "1.26.3+rtmp1.2.2-1+r1a2b3c4d", ("1.26.3", "1.26.3")),
        ("appliance-ffmpeg", "7.1.5-0+deb13u1+r1a2b3c4d", ("7.1.5-0+deb13u1", "7.1.5-0+deb13u1")),
    ],
)
def test_a_package_of_ours_is_compared_by_what_it_is_made_of(
    package: str, version: str, compared: tuple[str, str]
) -> None:
    assert comparable(package, version, POLICY) == compared
    assert comparable(package, version, "") == (compared[0], "")
    assert comparable(package, version, POLICY.replace("Candidate: ", "Candidate: (none)"))[1] == ""


@pytest.mark.parametrize(
    ("nginx", "ffmpeg", "older"),
    [
        ("1.26.3-3+deb13u7+rtmp1.2.2-1+r1a2b3c4d", "7.1.5-0+deb13u1+r1a2b3c4d", ["nginx"]),
        ("1.26.3+rtmp1.2.2-1+r1a2b3c4d", "7.1.4-0+deb13u1+r1a2b3c4d", ["ffmpeg"]),
        ("1.28.0+rtmp1.2.2-1+r1a2b3c4d", None, []),
    ],
)
async def test_what_debian_has_mended_since_is_told_with_the_command_that_builds_it(
    nginx: str, ffmpeg: str | None, older: list[str]
) -> None:
    class Told(Host):
        async def run(self, *command: str, seconds: float = 3.0, given: bytes = b"") -> Output:
            if "policy" in command:
                return Output(0, POLICY, "")
            if command[0] == "dpkg-query":
                lines = f"appliance-nginx {nginx}\nffmpeg 7:7.1.4-0+deb13u1\n"
                return Output(1, lines + (f"appliance-ffmpeg {ffmpeg}\n" if ffmpeg else ""), "")
            if command[0] == "dpkg":
                return await run_program(*command, seconds=seconds, given=given)
            return Output(NOT_THERE, "", "")

    findings = await outdated(Told())
    assert said(findings) == [f"{software} is older than Debian's" for software in older]
    for finding, software in zip(findings, older, strict=True):
        assert f"site.yml --tags={software} -e {software}_version=" in finding.mend


def test_nothing_is_restarted_into_a_broken_configuration() -> None:
    file = Path("/etc/appliance/appliance.yml")
    [finding] = judge_configuration("appliance-control.service", file, 250.0, 200.0, 300.0)
    assert "appliance doctor --only settings && systemctl restart" in finding.mend
    [finding] = judge_configuration("appliance-ingest.service", file, 250.0, 200.0, 300.0)
    assert "appliance doctor --only nginx-configuration && systemctl restart" in finding.mend
    refused = Outcome("settings", (critical("the settings are refused", "", "", "").of("settings"),), 0.0)
    late = Outcome("replaced", (finding.of("replaced"),), 0.0)
    assert [one.follows for one in in_order(ALL, [late, refused])] == [(), ("settings",)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root looks with another user's eyes")
@pytest.mark.parametrize(
    ("folder_mode", "mode", "closed"), [(0o755, 0o644, 0), (0o755, 0o600, 1), (0o700, 0o644, 1)]
)
def test_settings_that_only_root_can_read(
    monkeypatch: pytest.MonkeyPatch, folder_mode: int, mode: int, closed: int
) -> None:
    nobody = pwd.getpwnam("nobody")
    monkeypatch.setattr("pwd.getpwnam", lambda _: nobody)
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        file = Path(folder, "appliance.yml")
        file.write_text("{}\n")
        Path(folder).chmod(folder_mode)
        file.chmod(mode)
        found = asyncio.run(settings(Host(settings_file=file)))
        assert ["closed to the services" in one.what for one in found] == [True] * closed
        for one in found:
            subprocess.run(["sh", "-c", one.mend], check=True)  # as it is printed
            assert asyncio.run(settings(Host(settings_file=file))) == []


def test_a_secret_that_was_open_is_replaced_by_its_own_name(tmp_path: Path) -> None:
    directory = tmp_path / "credentials"
    make_missing(directory, None)
    for name in ("admin-token", "content-keyring"):
        (directory / name).chmod(0o444)
    mends = {one.what.split()[0]: one.mend for one in look_at_credentials(directory)}
    assert mends[str(directory / "admin-token")].endswith("then: appliance secrets rotate admin-token")
    assert mends[str(directory / "content-keyring")].endswith("then: appliance keys rotate --master")
