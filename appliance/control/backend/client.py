"""One signed request to the customer's backend, bounded in time and size.

The backend is a stranger's program on a network: no redirect is followed (it could point into this host's own
network), no cookie is kept, no proxy is taken from the environment, TLS is verified against the host's
certificate store, and no more is read of an answer than it may need.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
import time
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Final

import httpx

from appliance import __version__
from appliance.control.backend.signature import sign

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from appliance.secrets.webhook_secret import WebhookSecret

MAX_ANSWER: Final = 16 * 1024
"""Bytes of an answer's body; of most answers the status is all that counts."""

_CONNECTIONS: Final = httpx.Limits(max_connections=32, max_keepalive_connections=16, keepalive_expiry=30.0)


class BackendSilentError(Exception):
    """No answer that is one: not in time, not HTTP, no connection, a wrong certificate, an endless body."""


class BackendClient:
    """A pool of connections to the backend at `url`; it connects at first use.

    Parameters
    ----------
    url
        Without a slash at its end; the paths are put behind it.
    signing
        Says what a request is signed with, see `appliance.control.backend.signature`.
    """

    def __init__(self, url: str, signing: Callable[[], Sequence[WebhookSecret]]) -> None:
        self._url = url
        self._signing = signing
        self._http = httpx.AsyncClient(
            # The host's own store, so that `update-ca-certificates` is all that a private authority needs.
            verify=ssl.create_default_context(),
            trust_env=False,
            follow_redirects=False,
            # None is kept: a backend with sessions would take everybody it is asked about for one visitor.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            timeout=None,  # noqa: S113 - the whole request has one time limit, see below
            limits=_CONNECTIONS,
            headers={"User-Agent": f"appliance/{__version__}", "Accept-Encoding": "identity"},
        )

    async def post(self, path: str, body: bytes, *, content_type: str, identity: str, seconds: float) -> int:
        """As `ask`; returns the answer's status alone."""
        status, _ = await self.ask(path, body, content_type=content_type, identity=identity, seconds=seconds)
        return status

    async def ask(
        self, path: str, body: bytes, *, content_type: str, identity: str, seconds: float
    ) -> tuple[int, bytes]:
        """Posts `body` to `path` and returns the answer's status and body.

        Parameters
        ----------
        identity
            Of the message (webhook-id), the same at every attempt.
        seconds
            For all of it, from looking the name up to the last byte of the answer.

        Raises BackendSilentError.
        """
        headers = sign(self._signing(), identity=identity, timestamp=int(time.time()), body=body)
        headers["Content-Type"] = content_type
        try:
            async with asyncio.timeout(seconds):
                return await self._exchange(self._url + path, body, headers)
        except TimeoutError:
            raise BackendSilentError(f"no answer within {seconds:.1f} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise BackendSilentError(str(error) or type(error).__name__) from None

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def _exchange(self, url: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        async with self._http.stream("POST", url, content=body, headers=headers) as answer:
            content = bytearray()
            # Raw: what a compressed body would unpack to is nobody's business here.
            async for chunk in answer.aiter_raw():
                content += chunk
                if len(content) > MAX_ANSWER:
                    raise BackendSilentError(f"an answer of more than {MAX_ANSWER} bytes")
            return answer.status_code, bytes(content)


def new_identity() -> str:
    """An identity for a message that has none yet."""
    return f"msg_{secrets.token_hex(16)}"
