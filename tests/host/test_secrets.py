"""Secrets are readable by root alone and stand nowhere else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

FOLDER = "/etc/appliance/credentials"
NAMES = [
    "admin-token",
    "content-keyring",
    "rtmp-reader-secret",
    "stream-key-pepper",
    "valkey-password",
    "view-token-keys",
    "webhook-secret",
]

# Runs on the host: no secret leaves it, only the names of places where one was found.
SEARCH = r"""
import glob, json, os, re, subprocess
secrets = []
for path in glob.glob("/etc/appliance/credentials/*"):
    secrets += [word.encode() for word in re.findall(r"[A-Za-z0-9+/=_-]{24,}", open(path).read())]
places = []
def look(place, data):
    if any(secret in data for secret in secrets):
        places.append(place)
for kind in ("cmdline", "environ"):
    for path in glob.glob("/proc/[0-9]*/" + kind):
        try:
            look(path + " " + open(path.replace(kind, "comm")).read().strip(), open(path, "rb").read())
        except OSError:
            pass
for folder in ("/etc/systemd", "/etc/nginx", "/etc/appliance/ladders", "/var/log", "/tmp", "/run/systemd"):
    for path in glob.glob(folder + "/**/*", recursive=True) + ["/etc/appliance/appliance.yml"]:
        try:
            if os.path.isfile(path) and not path.startswith("/var/log/journal"):
                look(path, open(path, "rb").read())
        except OSError:
            pass
look("journal", subprocess.run(["journalctl", "--no-pager", "-o", "cat", "-b"], capture_output=True).stdout)
for unit in ("appliance-control", "appliance-ingest", "appliance-delivery", "valkey-server", "stream@x"):
    look("systemctl show " + unit, subprocess.run(["systemctl", "show", unit], capture_output=True).stdout)
print(json.dumps({"secrets": len(secrets), "places": places}))
"""


@pytest.mark.parametrize("name", NAMES)
def test_only_root_reads_it(host: Any, name: str) -> None:
    file = host.file(f"{FOLDER}/{name}")
    assert file.exists
    assert (file.user, file.group, file.mode) == ("root", "root", 0o400)


def test_the_folder_is_closed(host: Any) -> None:
    folder = host.file(FOLDER)
    assert (folder.user, folder.group, folder.mode) == ("root", "root", 0o700)


def test_no_secret_stands_anywhere_else(on_host: Callable[[str], Any]) -> None:
    """Not in a command line, an environment, a unit, a configuration, a log or the journal."""
    found = on_host(SEARCH)
    assert found["secrets"] >= 4
    assert found["places"] == []


def test_each_secret_has_an_age_and_those_with_a_timer_their_time(host: Any) -> None:
    shown = host.run("appliance secrets status --json")
    assert (shown.rc, shown.stderr) == (0, "")
    rows = {row["name"]: row for row in json.loads(shown.stdout)}
    assert {*NAMES} - {"content-keyring"} <= rows.keys()
    for name in ("master-key", "view-token-keys", "admin-token", "rtmp-reader-secret", "valkey-password"):
        assert rows[name]["created"], name
        assert rows[name]["next_rotation"], name
        assert not rows[name]["overdue"], name
    assert rows["webhook-secret"]["next_rotation"] is None
    assert rows["stream-key-pepper"]["next_rotation"] is None
