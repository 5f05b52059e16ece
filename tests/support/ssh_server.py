"""An SSH server on loopback that runs commands and passes connections on.

It is paramiko's: the machine that the tests run on needs no sshd, and a test can have a server that hangs.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import paramiko
from paramiko.common import (
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_CONNECT_FAILED,
    OPEN_SUCCEEDED,
)


@dataclass
class Keys:
    """A key pair in a file, as ssh-keygen makes it."""

    path: Path

    @classmethod
    def make(cls, path: Path) -> Keys:
        """Make an Ed25519 pair without a passphrase."""
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
        return cls(path)

    @property
    def public(self) -> str:
        """Return type and key, as in a file of known hosts."""
        return " ".join(Path(f"{self.path}.pub").read_text().split()[:2])

    @property
    def private(self) -> paramiko.PKey:
        """Return the key itself."""
        return paramiko.Ed25519Key.from_private_key_file(str(self.path))


@dataclass
class SshServer:
    """A server inside `with`.

    `silent`: it takes connections and says nothing. `programs`: a folder that is searched for programs first.
    `early`: it tells the exit status before the output, as sshd may.
    """

    host_key: Keys
    allowed: Keys
    silent: bool = False
    programs: Path | None = None
    early: bool = False
    commands: list[str] = field(default_factory=list)
    forwarded: list[tuple[str, int]] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: list[paramiko.Transport | socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A close alone does not wake who accepts.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._open:
            one.close()

    @property
    def known(self) -> str:
        """Return the line of a file of known hosts."""
        return f"[127.0.0.1]:{self.port} {self.host_key.public}\n"

    def hang_up(self) -> None:
        """Cut every connection."""
        for one in self._open:
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self.silent:
                self._open.append(connection)
                continue
            transport = paramiko.Transport(connection)
            transport.add_server_key(self.host_key.private)
            self._open.append(transport)
            with contextlib.suppress(paramiko.SSHException, EOFError):
                transport.start_server(server=_Interface(self, transport), event=threading.Event())


class _Interface(paramiko.ServerInterface):
    def __init__(self, server: SshServer, transport: paramiko.Transport) -> None:
        self._server = server
        self._transport = transport

    def get_allowed_auths(self, username: str) -> str:
        del username
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        good = username == "operator" and key.get_base64() == self._server.allowed.private.get_base64()
        return AUTH_SUCCESSFUL if good else AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        del kind, chanid
        return OPEN_SUCCEEDED

    def check_channel_direct_tcpip_request(
        self, chanid: int, origin: tuple[str, int], destination: tuple[str, int]
    ) -> int:
        del origin
        try:
            onward = socket.create_connection(destination, timeout=5)
        except OSError:
            return OPEN_FAILED_CONNECT_FAILED
        self._server.forwarded.append(destination)
        threading.Thread(target=self._pass_on, args=(chanid, onward), daemon=True).start()
        return OPEN_SUCCEEDED

    def _pass_on(self, chanid: int, onward: socket.socket) -> None:
        channel = None
        while channel is None or channel.chanid != chanid:
            channel = self._transport.accept(5)
        threading.Thread(
            target=_copy, args=(onward.recv, channel.sendall, channel.close), daemon=True
        ).start()
        _copy(channel.recv, onward.sendall, onward.close)

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self._server.commands.append(command.decode())
        folder = self._server.programs
        path = os.environ["PATH"] if folder is None else f"{folder}:{os.environ['PATH']}"
        arguments = (channel, command.decode(), path, self._server.early)
        threading.Thread(target=_execute, args=arguments, daemon=True).start()
        return True


def _copy(receive, send, close) -> None:  # type: ignore[no-untyped-def] # of sockets and channels
    with contextlib.suppress(OSError, EOFError):
        while data := receive(65536):
            send(data)
    close()


def _execute(channel: paramiko.Channel, command: str, path: str, early: bool) -> None:
    # The request is answered when our caller has returned, and paramiko does not tell when that was.
    time.sleep(0.05)
    with subprocess.Popen(
        ["sh", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PATH": path},
    ) as process:
        assert process.stdout
        assert process.stderr
        with contextlib.suppress(OSError, EOFError):
            if early:
                channel.send_exit_status(0)
                time.sleep(0.2)
            while data := process.stdout.read1(65536):  # type: ignore[attr-defined]
                channel.sendall(data)
            channel.sendall_stderr(process.stderr.read())
    with contextlib.suppress(OSError, EOFError):
        if not early:
            channel.send_exit_status(process.returncode)
    channel.close()
