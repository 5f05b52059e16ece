"""What delivery answers to somebody who trusts no playlist: of this host alone, and of a size that may be."""

from __future__ import annotations

from typing import Final

import httpx

from appliance.ops.doctor.host import USER_AGENT
from appliance.printable import printable

PLAYLIST_BYTES: Final = 2 << 20
"""A playlist of 300 segments, the most that a window has, is a twentieth of that."""

MEDIA_BYTES: Final = 64 << 20
"""Ten seconds, the longest segment, of 50 Mb/s."""

KEY_BYTES: Final = 1024

_SHOWN: Final = 200
_SECONDS: Final = 3.0


class RefusedError(Exception):
    """An address or an answer that is not taken; the message says which and what is allowed."""


def shown_path(url: httpx.URL) -> str:
    """The path without the token that may stand in it."""
    return "/hls/…/" + url.path.split("/", 4)[-1] if url.path.startswith("/hls/t/") else url.path


class Delivery:
    """Delivery of this host at `port`, asked as a player does; a context.

    `get` raises httpx.HTTPError when nobody answers.
    """

    def __init__(self, port: int) -> None:
        self._origin = httpx.URL(f"http://127.0.0.1:{port}")
        # As it is: what is packed can be a thousand times as large as what comes.
        headers = {"Accept-Encoding": "identity", "User-Agent": USER_AGENT}
        self._http = httpx.AsyncClient(
            base_url=self._origin, headers=headers, timeout=_SECONDS, trust_env=False, follow_redirects=False
        )

    async def __aenter__(self) -> Delivery:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def get(self, url: str, largest: int = PLAYLIST_BYTES) -> httpx.Response:
        """The answer at `url`, of `largest` bytes at most. Raises RefusedError."""
        self._check(url)
        async with self._http.stream("GET", url) as answer:
            data = bytearray()
            async for chunk in answer.aiter_raw():
                data += chunk
                if len(data) > largest:
                    seen = f"{shown_path(answer.url)}: more than {largest} bytes, which are allowed"
                    raise RefusedError(seen)
            return httpx.Response(answer.status_code, content=bytes(data), request=answer.request)

    def _check(self, url: str) -> None:
        try:
            asked = self._origin.join(url)
        except (httpx.InvalidURL, ValueError) as error:
            raise RefusedError(f"{printable(url)[:_SHOWN]}: no address ({error})") from None
        if asked.copy_with(raw_path=b"/", fragment=None) != self._origin.join("/"):
            shown = printable(url)[:_SHOWN]
            raise RefusedError(f"{shown} is not on this host; allowed is {self._origin}")
