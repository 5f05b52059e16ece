"""Role monitoring: who is looked at and how, what its units may, and that nothing of it is on by itself."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.roles.conftest import Render

HOSTVARS = {
    "one": {"ansible_host": "192.0.2.1"},
    "two": {"delivery_http_port": 18080},
    "watch": {"ansible_host": "192.0.2.9"},
    "six": {"ansible_host": "2001:db8::6"},
}
ALONE = {"inventory_hostname": "one", "groups": {"origins": ["one"], "monitors": ["one"]}}
ELSEWHERE = {"origins": ["one", "two"], "monitors": ["watch"]}
EXPOSURE = {"node-exporter.conf.j2": 2.5, "prometheus.conf.j2": 2.5, "alertmanager.conf.j2": 2.5}


def targets(render: Render, host: str, groups: dict[str, list[str]]) -> dict[str, dict[str, str]]:
    """Return what Prometheus on a host scrapes: by job and instance."""
    text = render(
        "monitoring", "prometheus.yml.j2", inventory_hostname=host, groups=groups, hostvars=HOSTVARS
    )
    found: dict[str, dict[str, str]] = {}
    for job in yaml.safe_load(text)["scrape_configs"]:
        for part in job["static_configs"]:
            found.setdefault(job["job_name"], {})[part["labels"]["instance"]] = " ".join(part["targets"])
    return found


def test_a_host_that_looks_after_itself_does_so_by_loopback(render: Render) -> None:
    assert targets(render, "one", {"origins": ["one"], "monitors": ["one"]}) == {
        "appliance": {"one": "127.0.0.1:8000"},
        "node": {"one": "127.0.0.1:9100"},
        "monitoring": {"one": "127.0.0.1:9090 127.0.0.1:9093"},
    }
    unit = render("monitoring", "node-exporter.conf.j2", **ALONE)
    assert "--web.listen-address=127.0.0.1:9100" in unit


def test_a_monitor_elsewhere_goes_by_what_the_firewall_and_delivery_let_in(render: Render) -> None:
    assert targets(render, "watch", ELSEWHERE) == {
        "appliance": {"one": "192.0.2.1:8080", "two": "two:18080"},
        "node": {"one": "192.0.2.1:9100", "two": "two:9100", "watch": "127.0.0.1:9100"},
        "monitoring": {"watch": "127.0.0.1:9090 127.0.0.1:9093"},
    }
    origin: dict[str, Any] = {"inventory_hostname": "one", "groups": ELSEWHERE, "group_names": ["origins"]}
    known = {**origin, "monitoring_addresses": ["192.0.2.9", "2001:db8::/64"]}
    assert "--web.listen-address=:9100" in render("monitoring", "node-exporter.conf.j2", **known)
    facts = {"ansible_facts": {"ssh_ports": [22]}}
    firewall = render("firewall", "firewall.nft.j2", **known, **facts)
    assert "ip saddr 192.0.2.9 tcp dport 9100 accept" in firewall
    assert "ip6 saddr 2001:db8::/64 tcp dport 9100 accept" in firewall
    delivery = render("delivery", "delivery.conf.j2", **known)
    operators, _, api = delivery.partition('location ~ "^/(metrics|')[2].partition("location /api/v1/")
    assert "allow 192.0.2.9;" in operators
    assert "allow 192.0.2.9;" not in api


def test_an_address_with_colons_stands_in_brackets(render: Render) -> None:
    """Prometheus takes host:port (RFC 3986, 3.2.2)."""
    found = targets(render, "watch", {"origins": ["six"], "monitors": ["watch"]})
    assert (found["appliance"]["six"], found["node"]["six"]) == ("[2001:db8::6]:8080", "[2001:db8::6]:9100")


def test_without_monitors_nothing_is_let_in(render: Render) -> None:
    known: dict[str, Any] = {
        "inventory_hostname": "one",
        "groups": {"origins": ["one"]},
        "group_names": ["origins"],
    }
    facts = {"ansible_facts": {"ssh_ports": [22]}}
    assert "9100" not in render("firewall", "firewall.nft.j2", **known, **facts)
    assert "9100" not in render(
        "firewall", "firewall.nft.j2", **known, **facts, monitoring_addresses=["192.0.2.9"]
    )


def test_alerts_go_where_the_inventory_says(render: Render) -> None:
    secret = "https://hooks.example.org/T0/S3CRET"
    text = render("monitoring", "alertmanager.yml.j2", monitoring_alert_webhook_url=secret)
    assert secret not in text
    [receiver] = yaml.safe_load(text)["receivers"]
    assert receiver == {
        "name": "operators",
        "webhook_configs": [{"url_file": "/etc/prometheus/appliance-webhook-url"}],
    }
    mail = {"monitoring_alert_mail_to": "ops@example.org", "monitoring_alert_mail_from": "host@example.org"}
    parsed = yaml.safe_load(render("monitoring", "alertmanager.yml.j2", **mail))
    assert parsed["receivers"][0]["email_configs"][0]["to"] == "ops@example.org"
    assert parsed["global"]["smtp_smarthost"] == "localhost:25"
    assert parsed["global"]["smtp_require_tls"] is False
    mail["monitoring_alert_mail_server"] = "mail.example.org:25"
    parsed = yaml.safe_load(render("monitoring", "alertmanager.yml.j2", **mail))
    assert parsed["global"]["smtp_require_tls"] is True


def test_what_is_kept_is_bounded(render: Render) -> None:
    unit = render("monitoring", "prometheus.conf.j2", monitoring_retention_days=3)
    assert "--storage.tsdb.retention.time=3d --storage.tsdb.retention.size=4GB" in unit
    assert "MemoryMax=1G" in unit


@pytest.mark.parametrize("template", EXPOSURE)
def test_the_units_are_confined(render: Render, template: str, tmp_path: Path) -> None:
    """`systemd-analyze security` of what the drop-in makes of Debian's unit."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd on this machine: `files/bootstrap.sh lab` installs it")
    unit = render("monitoring", template, **ALONE)
    file = tmp_path / "unit.service"
    command = re.sub(r"(?m)^ExecStart=.*$", "", unit)
    file.write_text(f"{command}\nUser=prometheus\nExecStart=/bin/true\n")
    threshold = f"--threshold={EXPOSURE[template] * 10:.0f}"
    done = subprocess.run(
        [analyze, "security", "--no-pager", "--offline=true", threshold, str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-400:] + done.stderr


def test_the_node_exporter_may_ask_about_the_clock_and_the_others_need_not(render: Render) -> None:
    """Without it there is no node_timex_…, and the alert ClockWrong has nothing to go by."""
    for template in EXPOSURE:
        unit, asks = render("monitoring", template, **ALONE), template == "node-exporter.conf.j2"
        assert ("SystemCallFilter=adjtimex" in unit) is asks
        # It would take the call away again.
        assert ("ProtectClock=yes" in unit) is not asks
        assert "CapabilityBoundingSet=\n" in unit


def test_the_journal_goes_to_the_collector(render: Render) -> None:
    text = render(
        "monitoring",
        "journal-upload.conf.j2",
        monitoring_journal_url="https://logs.example.org:19532",
        monitoring_journal_key="/etc/ssl/private/journal.pem",
    )
    assert text.splitlines()[1:] == [
        "[Upload]",
        "URL=https://logs.example.org:19532",
        "ServerKeyFile=/etc/ssl/private/journal.pem",
    ]
