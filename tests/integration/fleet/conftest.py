"""Hosts of a fleet: SSH servers on loopback, an inventory of them, and the command."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from appliance.cli import fleet as cli
from appliance.cli import preflight as preflight_cli
from appliance.cli.main import main
from appliance.ops.fleet.session import Done
from appliance.ops.fleet.targets import parse_inventory
from tests.support.ssh_server import Keys, SshServer

TOP = Path(__file__).resolve().parents[3]


class Fleet:
    """Servers, an inventory of them, and the command."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self._stack = stack
        self.user = Keys.make(directory / "user")
        self.known_hosts = directory / "known_hosts"
        self.known_hosts.write_text("")
        self.hosts: dict[str, dict[str, object]] = {}

    def server(
        self, name: str, *, known: bool = True, listed: bool = True, silent: bool = False
    ) -> SshServer:
        """Start one; `listed`: in the inventory."""
        keys = Keys.make(self.directory / f"host-{name}")
        server = self._stack.enter_context(SshServer(keys, self.user, silent=silent))
        if known:
            with self.known_hosts.open("a") as file:
                file.write(server.known)
        if listed:
            self.add(name, server.port)
        return server

    def add(self, name: str, port: int, *options: str, key: Path | None = None) -> None:
        """List a host."""
        arguments = [
            "-F none",
            "-o IdentitiesOnly=yes",
            f'-o UserKnownHostsFile="{self.known_hosts}"',
            *options,
        ]
        self.hosts[name] = {
            "ansible_host": "127.0.0.1",
            "ansible_port": port,
            "ansible_user": "operator",
            "ansible_ssh_private_key_file": str(key or self.user.path),
            "ansible_ssh_common_args": " ".join(arguments),
        }

    def programs(self, name: str, scripts: dict[str, str]) -> SshServer:
        """Start a server that finds these programs (the bodies of shell scripts) before the machine's."""
        server = self.server(name)
        server.programs = self.directory / f"programs-{name}"
        server.programs.mkdir()
        for program, body in {"sudo": 'shift; exec "$@"', **scripts}.items():
            (server.programs / program).write_text(f"#!/bin/sh\n{body}\n")
            (server.programs / program).chmod(0o755)
        return server

    def doctor(self, name: str, text: str, *, status: int = 0) -> SshServer:
        """Start a server whose `appliance` prints `text`."""
        return self.programs(name, {"appliance": f"cat <<'END'\n{text}\nEND\nexit {status}"})

    def run(self, verb: str, *arguments: str) -> Done:
        """Run the command, with Ansible's words for these hosts."""
        listed = {"_meta": {"hostvars": self.hosts}, "origins": {"hosts": list(self.hosts)}}
        out, errors = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patched:
            for area in (cli, preflight_cli):
                patched.setattr(
                    area, "read_targets", lambda _, limit: parse_inventory(json.dumps(listed), "i", limit)
                )
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):  # noqa: SIM117
                with pytest.raises(SystemExit) as left:
                    main([*(["fleet"] if verb != "preflight" else []), verb, *arguments])
        return Done(int(left.value.code or 0), out.getvalue(), errors.getvalue())

    def on_terminal(self, verb: str) -> Done:
        """Run the command as an operator does: Ansible reads the inventory, standard error is a terminal."""
        inventory = self.directory / "inventory.yml"
        inventory.write_text(yaml.safe_dump({"all": {"children": {"origins": {"hosts": self.hosts}}}}))
        terminal, end = pty.openpty()
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
        drawn = bytearray()
        reader = threading.Thread(target=_read_all, args=(terminal, drawn), daemon=True)
        reader.start()
        done = subprocess.run(
            [str(Path(sys.executable).with_name("appliance")), "fleet", verb, "-i", str(inventory)],
            stdout=subprocess.PIPE,
            stderr=end,
            text=True,
            check=False,
            cwd=TOP,
            timeout=60,
            env={**os.environ, "PYTHONPATH": str(TOP)},
        )
        os.close(end)
        reader.join(10)
        os.close(terminal)
        return Done(done.returncode, done.stdout, drawn.decode())


def _read_all(terminal: int, into: bytearray) -> None:
    with contextlib.suppress(OSError):
        while data := os.read(terminal, 65536):
            into.extend(data)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield Fleet(tmp_path, stack)
