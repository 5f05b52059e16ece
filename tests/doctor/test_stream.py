"""One stream followed from encoder to playlist: the step where it stops is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.doctor.conftest import Doctor
from tests.doctor.faults import STREAM, UNIT
from tests.support.encoder import Publisher, Signal
from tests.support.site import TOP

WEBHOOK = "planted-in-the-path-of-a-webhook"


def test_a_stream_that_plays_stops_nowhere(doctor: Doctor) -> None:
    way = doctor.look("--stream", STREAM)
    assert way["stops"] is None
    assert way["findings"] == []
    assert [step["verdict"] for step in way["steps"]] == ["ok"] * 7
    assert way["steps"][-1]["seen"] == "playlists, key, segment and pictures are good"


def test_nobody_publishes(doctor: Doctor) -> None:
    way = doctor.look("--stream", "test-5")
    assert way["stops"] == "encoder"
    assert way["findings"][0]["what"] == "nobody publishes test-5 to this host"
    assert [step["verdict"] for step in way["steps"][1:]] == ["not reached"] * 6


def test_who_publishes_is_turned_away(doctor: Doctor) -> None:
    doctor.site.run("appliance", "streams", "register", "unheard-of")
    for name in ("unheard-of", "unheard-of?key=cut-off"):
        with Publisher(doctor.site.rtmp(name), Signal()) as refused:
            refused.wait_refused(20)
    way = doctor.look("--stream", "unheard-of")
    assert way["stops"] == "encoder"
    assert way["findings"][0]["what"] == "whoever published unheard-of was turned away"
    assert "403" in way["findings"][0]["seen"]
    assert "not of the form ID.SECRET" in way["findings"][0]["seen"]  # what was said last


def test_its_unit_does_not_run(doctor: Doctor) -> None:
    doctor.site.run("systemctl", "mask", "--runtime", "--now", UNIT)
    try:
        assert doctor.look("--stream", STREAM)["stops"] == "unit"
    finally:
        doctor.site.run("systemctl", "unmask", "--runtime", UNIT)
        doctor.site.run("systemctl", "start", UNIT)


def test_nobody_delivers_it(doctor: Doctor) -> None:
    doctor.site.run("systemctl", "stop", "appliance-delivery")
    try:
        way = doctor.look("--stream", STREAM)
        assert way["stops"] == "delivery"
        assert "port 8080" in way["findings"][0]["seen"]
    finally:
        doctor.site.run("systemctl", "start", "appliance-delivery")


def test_the_fleet_over_the_host_s_own_sshd(doctor: Doctor) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("appliance")), "fleet", "doctor",
         "-i", str(doctor.site.inventory), "--json"],
        cwd=TOP,
        env={**os.environ, "PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    [host] = json.loads(done.stdout)["hosts"].values()
    assert host["findings"] == []


def test_an_archive_has_none_of_the_host_s_secrets(doctor: Doctor) -> None:
    settings = "/etc/appliance/appliance.yml"
    script = (
        f"cp -a {settings} {settings}.kept; trap 'mv {settings}.kept {settings}' EXIT; "
        f"sed -i '/^http_callback_url/d' {settings}; "
        f"echo 'http_callback_url: http://127.0.0.1:9/hooks/{WEBHOOK}' >>{settings}; "
        "appliance doctor --bundle /root/support.tar.gz >/dev/null 2>&1; "
        "mkdir -m 0700 /root/support && cd /root && tar xzf support.tar.gz -C support && "
        "cat /etc/appliance/credentials/* | grep -oE '[A-Za-z0-9_/+=-]{20,}' | grep -vE '^20..-' >secrets; "
        f"echo {WEBHOOK} >>secrets; wc -l <secrets; ls /etc/appliance/credentials | wc -l; "
        "grep -rlFf secrets support; rm secrets; "
        "ls -R support | wc -l; rm -rf support support.tar.gz"
    )
    known, credentials, *lines = doctor.site.run("bash", "-c", script).stdout.split()
    assert int(known) > int(credentials) > 0, "what to look for is not known"
    assert len(lines) == 1, f"secrets stand in {lines[:-1]}"
    assert int(lines[0]) > 30
