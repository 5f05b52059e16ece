"""The ingest nginx's statistics: who really publishes and plays, and `GET /stat` for operators."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import ParseError

import httpx
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring
from starlette.responses import Response

from appliance.control.callback import is_loopback
from appliance.control.responses import detail
from appliance.names import APPLICATION, StreamName, is_stream_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree.ElementTree import Element

    from starlette.requests import Request

_SECONDS: Final = 2.0
_MAX_BYTES: Final = 8 * 1024 * 1024

# Control characters are no XML, and an encoder chooses its flashver: it must not blind us to all the others.
_CONTROL_CHARACTERS: Final = bytes.maketrans(bytes(set(range(32)) - {9, 10, 13}), b"?" * (32 - 3))


class StatUnavailableError(Exception):
    """The ingest nginx did not answer /stat, or not with its XML."""


@dataclass(frozen=True, slots=True)
class Publisher:
    """One publishing connection: nginx's client number, the peer's address, the time (ms) of its media."""

    client: str
    address: str
    timestamp: str = ""


@dataclass(frozen=True, slots=True)
class IngestStatus:
    """The connections of the application `live`, by stream; names outside our pattern are left out.

    `readers` are the players that connected from this host, `clients` all connections.
    """

    publishers: dict[StreamName, Publisher] = field(default_factory=dict)
    readers: dict[StreamName, frozenset[str]] = field(default_factory=dict)
    clients: set[str] = field(default_factory=set)

    def lists(self, stream: StreamName, client: str) -> bool:
        """Whether `client` is the publisher of `stream`."""
        publisher = self.publishers.get(stream)
        return publisher is not None and publisher.client == client


class IngestStat:
    """A client of the ingest nginx's `/stat` (ngx_rtmp_stat_module).

    Parameters
    ----------
    url
        The address, http:// on loopback.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        # No proxy from the environment, no redirects: it is a neighbour on this host.
        self._http = httpx.AsyncClient(timeout=_SECONDS, trust_env=False, follow_redirects=False)
        self._asking: asyncio.Task[IngestStatus] | None = None

    async def fetch(self) -> bytes:
        """The XML as nginx wrote it. Raises StatUnavailableError."""
        body = bytearray()
        try:
            async with self._http.stream("GET", self._url) as answer:
                if answer.status_code != httpx.codes.OK:
                    raise StatUnavailableError(f"{self._url}: status {answer.status_code}")
                async for chunk in answer.aiter_bytes():
                    body += chunk
                    if len(body) > _MAX_BYTES:
                        raise StatUnavailableError(f"{self._url}: more than {_MAX_BYTES} bytes")
        except httpx.HTTPError as error:
            raise StatUnavailableError(f"{self._url}: {str(error) or type(error).__name__}") from error
        return bytes(body)

    async def status(self) -> IngestStatus:
        """What `/stat` says now. Raises StatUnavailableError.

        Who asks while it is being asked gets the same answer: whoever tries a name that is taken has it
        looked at, and may do so as often as it likes.
        """
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(), name="stat")
        # Shielded: a caller that gives up takes no other's answer along.
        return await asyncio.shield(self._asking)

    async def _ask(self) -> IngestStatus:
        return parse_stat(await self.fetch())

    async def close(self) -> None:
        """Closes the connections."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        await self._http.aclose()

    async def endpoint(self, _: Request) -> Response:
        """`GET /stat`."""
        try:
            return Response(await self.fetch(), media_type="text/xml", headers={"Cache-Control": "no-store"})
        except StatUnavailableError:
            return detail(502, "The ingest server does not answer")


def parse_stat(xml: bytes) -> IngestStatus:
    """Reads the XML of `/stat`. Raises StatUnavailableError when it is none, or carries a DTD."""
    status = IngestStatus()
    for name, stream in live_streams(read_xml(xml)):
        _read_stream(name, stream, status)
    return status


def read_xml(xml: bytes) -> Element:
    """The root of `/stat`. Raises StatUnavailableError when `xml` is none, or carries a DTD."""
    try:
        root: Element = fromstring(
            xml.translate(_CONTROL_CHARACTERS).decode("utf-8", "replace"), forbid_dtd=True
        )
    except (ParseError, DefusedXmlException) as error:
        raise StatUnavailableError(f"/stat is not the XML of nginx-rtmp: {error}") from error
    return root


def live_streams(root: Element) -> Iterator[tuple[StreamName, Element]]:
    """The streams of the application `live`, each once; those of names outside our pattern are left out."""
    seen = set()
    for application in root.iter("application"):
        if application.findtext("name") == APPLICATION:
            for stream in application.iterfind("live/stream"):
                name = stream.findtext("name", "")
                if is_stream_name(name) and name not in seen:
                    seen.add(name)
                    yield StreamName(name), stream


def _read_stream(name: StreamName, stream: Element, status: IngestStatus) -> None:
    readers = set()
    for client in stream.iterfind("client"):
        number = client.findtext("id", "")
        status.clients.add(number)
        if client.find("publishing") is not None:
            status.publishers[name] = Publisher(
                number, client.findtext("address", ""), client.findtext("timestamp", "")
            )
        elif is_loopback(client.findtext("address", "")):
            readers.add(number)
    status.readers[name] = frozenset(readers)
