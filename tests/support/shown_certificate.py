"""A TLS server on loopback that shows a certificate of a test's choice, and answers nothing."""

from __future__ import annotations

import contextlib
import socketserver
import ssl
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def write_pair(path: Path, not_after: datetime) -> None:
    """Write a key and its self-signed certificate, which ends at `not_after`, into one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "origin")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_after - timedelta(days=90))
        .not_valid_after(not_after)
        .sign(key, SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))


@dataclass
class Shown:
    """Such a server: where it listens, and the lines that came before the handshakes."""

    port: int
    lines: list[bytes] = field(default_factory=list)


@contextlib.contextmanager
def shown(folder: Path, not_after: datetime, *, proxied: bool = False) -> Iterator[Shown]:
    """Give a server; with `proxied` it takes a line of the PROXY protocol first, as nginx does."""
    write_pair(folder / "pair.pem", not_after)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "pair.pem")

    class Answer(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                if proxied:
                    line = b""
                    while not line.endswith(b"\r\n"):  # no byte of the handshake behind it
                        line += self.request.recv(1)
                    of.lines.append(line)
                with context.wrap_socket(self.request, server_side=True) as secured:
                    secured.recv(1)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True  # who asked may be in this thread, and hangs up when we have gone on

    with Server(("127.0.0.1", 0), Answer) as server:
        of = Shown(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield of
        finally:
            server.shutdown()
            thread.join()
