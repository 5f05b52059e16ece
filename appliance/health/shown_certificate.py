"""The certificate that this host's delivery shows: it is asked, as its files are closed to most."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

from cryptography import x509

_SECONDS: Final = 1.0

_PROXY_LINE: Final = b"PROXY UNKNOWN\r\n"
"""Of a proxy that tells of nobody (https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt, 2.1)."""


async def ask_certificate(port: int, *, proxied: bool) -> x509.Certificate | None:
    """The certificate that is shown at `port` of this host.

    None with port 0 (no TLS), and when nobody shows one in time. `proxied`: who connects there says first
    whom it brings (`delivery_proxy_protocol`).
    """
    if not port:
        return None
    # Any certificate will do: one that is over, or its host's own, is what has to be told of.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(_SECONDS):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                if proxied:
                    writer.write(_PROXY_LINE)
                await writer.start_tls(context)
                shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            finally:
                writer.transport.abort()
        return x509.load_der_x509_certificate(shown)
    except (OSError, ValueError):
        return None
