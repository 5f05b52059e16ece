"""What the backend decides: may this connection publish, may this one play?

2xx allows. 401, 402, 403 and 409 refuse with that status, 404 with 403 (an answer must not tell which streams
exist). Anything else is no verdict: the question is put again within its time, and then the policy for a
silent backend decides.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlencode

from appliance.control.audit import record
from appliance.control.backend.breaker import Breaker
from appliance.control.backend.client import BackendSilentError, new_identity
from appliance.state.valkey import StateUnavailableError

if TYPE_CHECKING:
    from appliance.control.backend.client import BackendClient
    from appliance.control.callback import Callback
    from appliance.names import StreamName
    from appliance.settings import Settings
    from appliance.state.verdicts import Verdicts

Kind = Literal["publish", "play"]

_REFUSALS: Final = {401: 401, 402: 402, 403: 403, 404: 403, 409: 409}
_PAUSE_SECONDS: Final = 0.1
_TEXTS: Final = {402: "Payment required", 503: "Not possible at the moment"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """`status` is 200, or what a refused caller is told; `source` says whose verdict it is, for the log."""

    status: int
    source: Literal["backend", "last-known", "silent"]
    reason: str

    @property
    def allowed(self) -> bool:
        """Whether it is a yes."""
        return self.status == 200

    @property
    def text(self) -> str:
        """The sentence for a refused caller."""
        return _TEXTS.get(self.status, "Refused by the backend")


class Decisions:
    """Puts questions to the backend. Used from one event loop only."""

    def __init__(self, client: BackendClient, verdicts: Verdicts, settings: Settings) -> None:
        self._client = client
        self._verdicts = verdicts
        self._settings = settings
        self.breaker = Breaker()

    async def ask(self, kind: Kind, stream: StreamName, callback: Callback, *, seconds: float) -> Verdict:
        """The verdict about `callback`, within `seconds` and a moment for Valkey.

        The backend is sent `call` (`publish` or `play`), `app`, `name`, `addr` and `clientid` as nginx sent
        them, and nothing else: the other fields and the encoder's `?arguments` may carry a key or a token.
        """
        try:
            answered = await self._question(kind, callback, seconds)
        except BackendSilentError as error:
            return await self._without_backend(kind, stream, callback, str(error))
        await self._remember(kind, stream, callback, answered)
        return Verdict(answered, "backend", f"the backend answered {answered}")

    async def _question(self, kind: Kind, callback: Callback, seconds: float) -> int:
        clock = asyncio.get_running_loop().time
        deadline = clock() + seconds
        fields = {
            "call": kind,
            "app": callback.app,
            "name": callback.name,
            "addr": callback.addr,
            "clientid": callback.client,
        }
        if self._settings.callback_form == "json":
            content_type, body = "application/json", json.dumps(fields).encode()
        else:
            content_type, body = "application/x-www-form-urlencoded", urlencode(fields).encode()
        identity = new_identity()
        trouble = "no time is left to ask it"
        for attempt in range(self._settings.callback_attempts):
            if attempt:
                await asyncio.sleep(random.uniform(0.5, 1.0) * _PAUSE_SECONDS)  # noqa: S311 - spreads load
            left = min(self._settings.callback_seconds, deadline - clock())
            if left <= 0:
                break
            if not self.breaker.permits():
                raise BackendSilentError("it failed again and again and is left alone for a few seconds")
            try:
                status = await self._client.post(
                    f"/auth/{kind}", body, content_type=content_type, identity=identity, seconds=left
                )
            except BackendSilentError as error:
                trouble = str(error)
            else:
                if 200 <= status < 300 or status in _REFUSALS:
                    self.breaker.succeeded()
                    return _REFUSALS.get(status, 200)
                trouble = f"it answered {status}"
            self.breaker.failed()
            record("backend", level=logging.WARNING, question=kind, attempt=attempt + 1, reason=trouble)
        raise BackendSilentError(trouble)

    async def _without_backend(
        self, kind: Kind, stream: StreamName, callback: Callback, trouble: str
    ) -> Verdict:
        silent = Verdict(503, "silent", f"the backend is silent: {trouble}")
        who = _subject(kind, callback)
        if self._settings.callback_when_silent == "refuse" or who is None:
            return silent
        try:
            known = await self._verdicts.recall(kind, stream, who)
        except StateUnavailableError as error:
            return Verdict(503, "silent", f"{silent.reason}; its last verdict is not known: {error}")
        if known is None:
            return silent
        return Verdict(known, "last-known", f"{silent.reason}; its last verdict was {known}")

    async def _remember(self, kind: Kind, stream: StreamName, callback: Callback, status: int) -> None:
        who = _subject(kind, callback)
        if self._settings.callback_when_silent == "refuse" or who is None:
            return
        try:
            await self._verdicts.remember(kind, stream, who, status)
        except StateUnavailableError as error:
            record("remember", level=logging.WARNING, stream=stream, reason=str(error))


def _subject(kind: Kind, callback: Callback) -> str | None:
    """Whom a verdict is about, None when it is not to be repeated.

    Of a publish the stream alone, as an encoder's address changes with its network. What one viewer may says
    nothing about another, so a verdict about a play holds for its address.
    """
    if kind == "publish":
        return "any"
    try:
        return str(ipaddress.ip_address(callback.addr))
    except ValueError:
        return None
