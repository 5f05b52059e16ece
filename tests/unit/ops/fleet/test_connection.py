"""What an operator's terminal gets of whoever answers at a host's address."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.ops.fleet.connection import Connection, UnreachableError
from appliance.ops.fleet.ssh_options import Options

TOP = Path(__file__).resolve().parents[4]
TITLE = "\x1b]0;pwned\x07"

# A program of its own: inside pytest logging has handlers, and its last resort is never asked.
CONNECT = """
import sys
from appliance.ops.fleet.connection import Connection, UnreachableError
from appliance.ops.fleet.ssh_options import Options
options = Options.parse(["-F none -o IdentitiesOnly=yes -o UserKnownHostsFile=none"])
way = options.way("127.0.0.1", port=int(sys.argv[1]), user="ops")
try:
    with Connection(way, options, seconds=10):
        pass
except UnreachableError as error:
    print(str(error))
"""


def greet(listener: socket.socket) -> None:
    """Say to who comes what is no SSH, for as long as paramiko listens to it, and a terminal would obey."""
    client, _ = listener.accept()
    with client:
        client.sendall(f"{TITLE}\r\n".encode() * 101)
        while client.recv(1024):
            pass


def test_who_answers_writes_nothing_on_the_terminal() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=greet, args=(listener,), daemon=True).start()
        done = subprocess.run(
            [sys.executable, "-c", CONNECT, str(listener.getsockname()[1])],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            env={**os.environ, "PYTHONPATH": str(TOP)},
        )
    assert done.stderr == ""
    assert 'Indecipherable protocol version "?]0;pwned?"' in done.stdout


def test_the_mend_names_an_address_of_the_inventory_fit_for_a_terminal() -> None:
    options = Options.parse(["-F none -o UserKnownHostsFile=none"])
    way = replace(options.way("127.0.0.1", port=1, user="ops"), host=f"127.0.0.{TITLE}1")
    with pytest.raises(UnreachableError) as raised, Connection(way, options, seconds=5):
        pass
    assert "pwned" in raised.value.mend
    assert (str(raised.value) + raised.value.mend).isprintable()
