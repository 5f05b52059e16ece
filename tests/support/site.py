"""A provisioned host to test against.

Lab `test`, or the one that APPLIANCE_TEST_LAB names, is brought up or gone on with, the site is applied to
it, and it goes away afterwards, unless APPLIANCE_TEST_KEEP=1.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from defusedxml import ElementTree as DefusedET

from appliance.lab import lab
from tests.support import player

TOP = Path(__file__).resolve().parents[2]
LAB = os.environ.get("APPLIANCE_TEST_LAB", "test")
HOST = "origin"
STREAMS = [f"test-{number}" for number in range(24)]
SIGNAL_STREAMS = [f"signal-{number}" for number in range(9)]
CONFORMANCE_STREAM = "conformance"
HELD_STREAM = "held"
GRACE_SECONDS = 4
RETAIN_SECONDS = 4
SETTINGS: dict[str, Any] = {
    "control_allowed_stream_keys": [*STREAMS, *SIGNAL_STREAMS, CONFORMANCE_STREAM, HELD_STREAM],
    # The tests wait for both; an operator's defaults are 30 and 60.
    "control_settings": {"grace_seconds": GRACE_SECONDS, "retain_seconds": RETAIN_SECONDS},
}

# The host has no curl, and a test installs nothing.
_POST = """
import sys, urllib.request, urllib.error
try:
    print(urllib.request.urlopen(sys.argv[1], sys.argv[2].encode(), timeout=10).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""


@dataclass(frozen=True)
class Site:
    """A provisioned host."""

    address: str
    ssh: tuple[str, ...]
    inventory: Path

    @property
    def neighbour(self) -> str:
        """The address under which the host reaches this machine."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unsent:
            unsent.connect((self.address, 9))
            return str(unsent.getsockname()[0])

    def apply(self, *arguments: str, **settings: Any) -> str:
        """Run playbooks/site.yml with the tests' settings and these; return what it printed."""
        done = subprocess.run(
            [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(self.inventory),
             "playbooks/site.yml", "--extra-vars", json.dumps(SETTINGS | settings), *arguments],
            cwd=TOP,
            env={**os.environ, "ANSIBLE_CONFIG": str(TOP / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        return done.stdout

    def run(self, *command: str, check: bool = True, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command on the host as root, for so long at most; its arguments arrive as they are."""
        return subprocess.run(
            [*self.ssh, shlex.join(command)],
            capture_output=True,
            text=True,
            check=check,
            stdin=subprocess.DEVNULL,
            timeout=seconds,
        )

    def rtmp(self, stream: str) -> str:
        """Return where a stream is published."""
        return f"rtmp://{self.address}/live/{stream}"

    def hls(self, stream: str) -> str:
        """Return where a stream is watched."""
        return f"http://{self.address}:8080/hls/{stream}.m3u8"

    def http(self, path: str) -> str:
        """Return a URL of the delivery."""
        return f"http://{self.address}:8080{path}"

    def property(self, unit: str, name: str) -> str:
        """Return a property of a systemd unit."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).stdout.strip()

    def units(self, pattern: str) -> list[str]:
        """Return the units that are loaded and not inactive."""
        listed = self.run(
            "systemctl", "list-units", "--plain", "--no-legend",
            "--state=active,activating,deactivating,failed", pattern,
        ).stdout  # fmt: skip
        return [line.split()[0] for line in listed.splitlines()]

    def active(self) -> list[str]:
        """Return the streams that the control service holds for live."""
        answer = player.get(self.http("/streams/active"))
        assert answer.status == 200, f"/streams/active: {answer.status}"
        return sorted(json.loads(answer.body)["active_streams"])

    def publishing(self) -> list[str]:
        """Return the streams that ingest has a publisher for (`/stat`, nginx-rtmp's XML)."""
        answer = player.get(self.http("/stat"))
        assert answer.status == 200, f"/stat: {answer.status}"
        return [
            stream.findtext("name", "")
            for stream in DefusedET.fromstring(answer.body.decode()).iter("stream")
            if stream.find("publishing") is not None
        ]

    def post(self, url: str, form: str) -> int:
        """Post a form from the host itself to a service on its loopback; return the status."""
        done = self.run("python3", "-c", _POST, url, form)
        return int(done.stdout)


def _site(found: lab.Lab) -> Site:
    host = found.host(HOST)
    return Site(host.address, host.ssh, found.inventory)


@contextmanager
def bare(name: str = LAB, groups: Mapping[str, Sequence[str]] | None = None) -> Iterator[Site]:
    """Give the host of the lab `name` as it is, in the inventory's `groups`, and take it down afterwards.

    Unless it is to be kept.
    """
    made = lab.up([HOST], lab=name, groups=groups, say=lambda line: print(line, file=sys.stderr))
    try:
        yield _site(made)
    finally:
        if os.environ.get("APPLIANCE_TEST_KEEP") != "1":
            lab.down(name)


@contextmanager
def provisioned(name: str = LAB) -> Iterator[Site]:
    """Give the host of the lab `name` with the tests' settings, and take it down unless it is to be kept."""
    with bare(name) as host:
        host.apply()
        yield host
