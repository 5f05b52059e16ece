"""`GET /keys/{stream}/{kid}`: the sixteen bytes that open a stream's segments (RFC 8216, 4.3.2.4).

Keys are derived, not stored: any host with the keyring answers for any stream, with Valkey down too. It does
so for as long as something playable needs the key.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING

from starlette.responses import Response

from appliance.control.responses import NO_STORE, detail
from appliance.names import InvalidStreamNameError, parse_stream_name
from appliance.secrets.content_keys import KeyId, UnknownKeyError

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from appliance.control.context import Control
    from appliance.names import StreamName
    from appliance.secrets.keyring import Keyring


class Keys:
    """The endpoint for content keys."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._take(control.keyring)

    def _take(self, keyring: Keyring) -> None:
        # All viewers of a stream ask for the same key at the same time.
        self._keyring, self._found = keyring, lru_cache(maxsize=1024)(partial(_find, keyring))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The endpoint, as ASGI has it."""
        asked = scope["path_params"]
        await self.answer(asked["stream"], asked["kid"])(scope, receive, send)

    def answer(self, name: str, key_id: str) -> Response:
        """200 with the key; 404 for a malformed name or id, an unknown generation, a key nobody needs."""
        if self._control.keyring is not self._keyring:
            self._take(self._control.keyring)
        try:
            stream, kid, key = self._found(name, key_id)
        except (InvalidStreamNameError, UnknownKeyError):
            return detail(404, "No such key")
        return key if self._control.needed_keys.needs(stream, kid) else detail(404, "No such key")


def _find(keyring: Keyring, name: str, key_id: str) -> tuple[StreamName, KeyId, Response]:
    """The stream and the key of that name and id, and the answer with its bytes: the same for all who ask.

    Raises InvalidStreamNameError and UnknownKeyError.
    """
    stream, kid = parse_stream_name(name), KeyId.parse(key_id)
    key = keyring.derive(str(kid), stream)
    return stream, kid, Response(key, media_type="application/octet-stream", headers=NO_STORE)
