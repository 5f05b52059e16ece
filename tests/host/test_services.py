"""The services run, listen where they should and nowhere else, and are confined."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

UNITS = [
    "appliance-control.socket",
    "appliance-control.service",
    "appliance-ingest.service",
    "appliance-delivery.service",
    "appliance-firewall.service",
    "valkey-server.service",
    "srv-hls.mount",
    "appliance-rotate-content-keys.timer",
    "appliance-rotate-master-key.timer",
    "appliance-rotate-view-token-keys.timer",
    "appliance-rotate-internal-secrets.timer",
]

# systemd's exposure levels: the highest that we accept
EXPOSURE = {
    "appliance-control.service": 1.5,
    "stream@any.service": 2.5,
    "appliance-ingest.service": 3.0,
    "appliance-delivery.service": 3.0,
    "appliance-rotate-content-keys.service": 1.5,
    "appliance-rotate-content-key@any.service": 1.5,
    "appliance-rotate-master-key.service": 2.5,
    "appliance-rotate@any.service": 2.7,
}

PUBLIC_PORTS = {1935, 8080, 8443}
LOOPBACK_PORTS = {8000, 8081}


@pytest.mark.parametrize("unit", UNITS)
def test_unit_runs_now_and_after_a_boot(properties: Callable[[str], dict[str, str]], unit: str) -> None:
    seen = properties(unit)
    assert seen["ActiveState"] == "active", seen["SubState"]
    # the service is started by its socket or enabled itself
    assert seen["UnitFileState"] in {"enabled", "static", "indirect"} or unit == "appliance-control.service"


@pytest.mark.parametrize(
    "unit", ["appliance-control.service", "appliance-ingest.service", "appliance-delivery.service"]
)
def test_service_is_restarted_for_ever(properties: Callable[[str], dict[str, str]], unit: str) -> None:
    seen = properties(unit)
    assert seen["Restart"] == "always"
    assert seen["StartLimitIntervalUSec"] == "0"


def test_no_unit_of_ours_has_failed(host: Any) -> None:
    failed = host.check_output("systemctl list-units --plain --no-legend --state=failed")
    ours = re.compile(r"^(appliance|stream@|valkey|srv-hls)")
    assert [line for line in failed.splitlines() if ours.match(line)] == []


@pytest.mark.parametrize(("unit", "limit"), EXPOSURE.items())
def test_unit_is_confined(host: Any, unit: str, limit: float) -> None:
    report = host.check_output("systemd-analyze security --no-pager %s", unit)
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", report)
    assert level, report
    assert float(level[1]) <= limit


def _listening(host: Any) -> list[tuple[str, str, int]]:
    """Return (protocol, address, port) of every listening socket."""
    found = []
    for line in host.check_output("ss -Hlntu").splitlines():
        fields = line.split()
        address, _, port = fields[4].rpartition(":")
        found.append((fields[0], address.strip("[]").partition("%")[0], int(port)))
    return found


def test_serves_what_it_should(host: Any) -> None:
    ports = {port for protocol, _, port in _listening(host) if protocol == "tcp"}
    assert ports >= (PUBLIC_PORTS - {8443}) | LOOPBACK_PORTS


def test_nothing_else_listens(host: Any) -> None:
    ssh = {
        int(line.split()[1]) for line in host.check_output("sshd -T").splitlines() if line.startswith("port ")
    }
    strangers = [
        (protocol, address, port)
        for protocol, address, port in _listening(host)
        if not address.startswith("127.") and address != "::1"
        if not (protocol == "tcp" and port in PUBLIC_PORTS | ssh)
        # DHCP's replies and link-local name queries are no services of ours; the firewall drops the latter
        if not (protocol == "udp" and port in {68, 546, 5353, 5355})
        if not (protocol == "tcp" and port == 5355)
    ]
    assert strangers == []
    public = [s for s in _listening(host) if s[2] in LOOPBACK_PORTS and s[1] != "127.0.0.1"]
    assert public == []


def test_firewall_lets_in_only_what_is_served(host: Any) -> None:
    rules = host.check_output("nft list table inet appliance")
    assert "policy drop" in rules
    opened: set[int] = set()
    for match in re.finditer(r"^\s*tcp dport (\{[^}]*\}|\d+) accept", rules, re.MULTILINE):
        opened |= {int(port) for port in re.findall(r"\d+", match[1])}
    ssh = {
        int(line.split()[1]) for line in host.check_output("sshd -T").splitlines() if line.startswith("port ")
    }
    assert opened - ssh <= PUBLIC_PORTS
    assert opened >= ssh | {1935, 8080}


def test_services_run_without_root(on_host: Callable[[str], Any]) -> None:
    """No process of a service that strangers talk to belongs to root."""
    owners = on_host(
        "import glob, json, os\n"
        "seen = {}\n"
        "for unit in ('appliance-ingest', 'appliance-delivery', 'appliance-control'):\n"
        "    for path in glob.glob('/sys/fs/cgroup/**/' + unit + '.service/cgroup.procs', recursive=True):\n"
        "        for pid in open(path).read().split():\n"
        "            seen.setdefault(unit, set()).add(os.stat('/proc/' + pid).st_uid)\n"
        "print(json.dumps({unit: sorted(uids) for unit, uids in seen.items()}))\n"
    )
    assert set(owners) == {"appliance-ingest", "appliance-delivery", "appliance-control"}
    assert all(0 not in uids for uids in owners.values()), owners


def test_control_may_start_streams_and_nothing_else(host: Any) -> None:
    refused = host.run(
        "runuser -u appliance-control -- busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 "
        "org.freedesktop.systemd1.Manager RestartUnit ss systemd-journald.service replace"
    )
    assert refused.rc != 0
    assert "ccess denied" in refused.stderr or "nteractive authentication" in refused.stderr


def test_control_may_have_a_streams_key_changed(host: Any) -> None:
    unit = "appliance-rotate-content-key@nobody-streams-this.service"
    started = host.run(f"runuser -u appliance-control -- systemctl --no-ask-password start {unit}")
    seen = host.run(f"systemctl show --value --property=Result {unit}").stdout.strip()
    host.run(f"systemctl reset-failed {unit}")
    # It may, and there is no such stream.
    assert seen == "exit-code", started.stderr


def _ask(on_host: Callable[[str], Any], url: str, form: str = "") -> tuple[int, str]:
    answer = on_host(
        "import json, urllib.request, urllib.error\n"
        f"url, form = {url!r}, {form!r}\n"
        "try:\n"
        "    reply = urllib.request.urlopen(url, form.encode() or None, timeout=10)\n"
        "    print(json.dumps([reply.status, reply.read().decode()]))\n"
        "except urllib.error.HTTPError as error:\n"
        "    print(json.dumps([error.code, error.read().decode()]))\n"
    )
    return int(answer[0]), str(answer[1])


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000/health",
        "http://127.0.0.1:8080/health",
        "http://127.0.0.1:8080/stat",
        "http://127.0.0.1:8080/dashboard",
        "http://127.0.0.1:8080/dashboard/session",
    ],
)
def test_answers(on_host: Callable[[str], Any], url: str) -> None:
    assert _ask(on_host, url)[0] == 200


def test_refuses_an_unknown_stream(on_host: Callable[[str], Any]) -> None:
    status, _ = _ask(
        on_host,
        "http://127.0.0.1:8000/auth/publish",
        "app=live&name=nobody-gave-me-this-name&addr=192.0.2.1",
    )
    assert status == 403


def test_mounts_reach_the_services(host: Any) -> None:
    """A private root mount, which some tools leave behind, keeps systemd from passing credentials on."""
    assert host.check_output("findmnt --noheadings --output PROPAGATION /") == "shared"
