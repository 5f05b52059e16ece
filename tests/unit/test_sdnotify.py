"""systemd's protocols: the socket it hands over, and what it hears."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from appliance import sdnotify

if TYPE_CHECKING:
    from pathlib import Path


def test_the_manager_hears_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        sdnotify.notify("READY=1")
        assert manager.recv(100) == b"READY=1"


def test_without_a_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    sdnotify.notify("READY=1")
    assert sdnotify.watchdog_seconds() is None


def test_the_watchdogs_time_is_ours_only_when_it_names_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert sdnotify.watchdog_seconds() == 20
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert sdnotify.watchdog_seconds() is None


# Puts the socket where systemd puts it, and becomes the program.
START = """
import os, sys
descriptor, meant_for, program = int(sys.argv[1]), sys.argv[2], sys.argv[3]
os.dup2(descriptor, 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()) if meant_for == "us" else "1")
os.execv(sys.executable, [sys.executable, "-c", program])
"""
PROGRAM = """
import socket
from appliance.sdnotify import handed_over
given = handed_over().get(socket.SOCK_STREAM)
print(given and given.getsockname()[0])
"""


@pytest.mark.parametrize(("meant_for", "expected"), [("us", "127.0.0.1"), ("another", "None")])
def test_a_socket_is_taken_when_it_is_meant_for_us(meant_for: str, expected: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        done = subprocess.run(
            [sys.executable, "-c", START, str(listening.fileno()), meant_for, PROGRAM],
            pass_fds=[listening.fileno()],
            capture_output=True,
            text=True,
            check=True,
        )
    assert done.stdout.strip() == expected
