"""What the backend decides: may this connection publish, may this one play, may this viewer watch?

2xx allows. 401, 402, 403 and 409 refuse with that status, 404 with 403 (an answer must not tell which streams
exist). Anything else is no verdict, also a yes whose content cannot be read (`grant`): the question is put
again within its time, and then the policy for a silent backend decides.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, Self
from urllib.parse import urlencode

from appliance.control.audit import record
from appliance.control.backend.breaker import Breaker, State
from appliance.control.backend.client import BackendSilentError, new_identity
from appliance.control.backend.grant import Grant, UnreadableGrantError
from appliance.control.refusal import NOT_NOW, UNPAID
from appliance.state.valkey import StateUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.control.backend.client import BackendClient
    from appliance.control.callback import Callback
    from appliance.names import StreamName
    from appliance.settings import Settings
    from appliance.state.verdicts import Verdicts

Kind = Literal["publish", "play", "view"]
"""A viewer's question goes where a player's does: the backend is asked at /auth/play about both."""

_REFUSALS: Final = {401: 401, 402: 402, 403: 403, 404: 403, 409: 409}
_PATHS: Final[Mapping[Kind, str]] = {"publish": "/auth/publish", "play": "/auth/play", "view": "/auth/play"}
_BUSY: Final = frozenset({408, 429})
_PAUSE_SECONDS: Final = 0.1
_TEXTS: Final = {402: UNPAID, 503: NOT_NOW}


@dataclass(frozen=True, slots=True)
class Question:
    """What the backend is asked: `fields`, about `stream`.

    `subject`: whom the verdict is about, None when it is not to be repeated.
    """

    kind: Kind
    stream: StreamName
    fields: Mapping[str, str]
    subject: str | None

    @classmethod
    def of(cls, kind: Literal["publish", "play"], stream: StreamName, callback: Callback) -> Self:
        """What a connection to nginx asks.

        The backend is sent `call` (`publish` or `play`), `app`, `name`, `addr` and `clientid` as nginx sent
        them, and nothing else: the other fields and the encoder's `?arguments` may carry a key or a token.
        """
        fields = {
            "call": kind,
            "app": callback.app,
            "name": callback.name,
            "addr": callback.addr,
            "clientid": callback.client,
        }
        return cls(kind, stream, fields, _subject(kind, callback))


@dataclass(frozen=True, slots=True)
class Verdict:
    """`status` is 200, or what a refused caller is told; `source` says whose verdict it is, for the log.

    `grant`: what a viewer was allowed, nothing in particular where nothing was said.
    """

    status: int
    source: Literal["backend", "last-known", "silent"]
    reason: str
    grant: Grant = field(default_factory=Grant)

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
        # Publishers have their own: who watches is a stranger, and what it asks may be what fails.
        publishers, viewers = Breaker(), Breaker()
        self._breakers: dict[Kind, Breaker] = {"publish": publishers, "play": viewers, "view": viewers}

    @property
    def state(self) -> State:
        """Of the breakers, that of the one which lets the least through."""
        states = {breaker.state for breaker in self._breakers.values()}
        return next(state for state in (State.OPEN, State.HALF_OPEN, State.CLOSED) if state in states)

    async def ask(
        self, kind: Literal["publish", "play"], stream: StreamName, callback: Callback, *, seconds: float
    ) -> Verdict:
        """The verdict about `callback`, within `seconds` and a moment for Valkey."""
        return await self.put(Question.of(kind, stream, callback), seconds=seconds)

    async def put(self, question: Question, *, seconds: float) -> Verdict:
        """The answer to `question`, within `seconds` and a moment for Valkey."""
        try:
            status, grant = await self._answer(question, seconds)
        except BackendSilentError as error:
            return await self._without_backend(question, str(error))
        await self._remember(question, status, grant)
        return Verdict(status, "backend", f"the backend answered {status}", grant)

    async def _answer(self, question: Question, seconds: float) -> tuple[int, Grant]:
        clock = asyncio.get_running_loop().time
        deadline = clock() + seconds
        if self._settings.callback_form == "json":
            content_type, body = "application/json", json.dumps(dict(question.fields)).encode()
        else:
            content_type, body = "application/x-www-form-urlencoded", urlencode(question.fields).encode()
        identity, breaker = new_identity(), self._breakers[question.kind]
        trouble = "no time is left to ask it"
        for attempt in range(self._settings.callback_attempts):
            if attempt:
                await asyncio.sleep(random.uniform(0.5, 1.0) * _PAUSE_SECONDS)  # noqa: S311 - spreads load
            left = min(self._settings.callback_seconds, deadline - clock())
            if left <= 0:
                break
            if not breaker.permits():
                raise BackendSilentError("it failed again and again and is left alone for a few seconds")
            try:
                status, content = await self._client.ask(
                    _PATHS[question.kind], body, content_type=content_type, identity=identity, seconds=left
                )
                if 200 <= status < 300 or status in _REFUSALS:
                    told = question.kind == "view" and status not in _REFUSALS
                    grant = Grant.read(content, now=time.time()) if told else Grant()
                    breaker.succeeded()
                    return _REFUSALS.get(status, 200), grant
                trouble = f"it answered {status}"
                # Who finds fault with the question is there, and is asked others.
                failed = not 400 <= status < 500 or status in _BUSY
            except (BackendSilentError, UnreadableGrantError) as error:
                trouble, failed = str(error), True
            breaker.failed() if failed else breaker.succeeded()
            record(
                "backend", level=logging.WARNING, question=question.kind, attempt=attempt + 1, reason=trouble
            )
        raise BackendSilentError(trouble)

    async def _without_backend(self, question: Question, trouble: str) -> Verdict:
        silent = Verdict(503, "silent", f"the backend is silent: {trouble}")
        if self._settings.callback_when_silent == "refuse" or question.subject is None:
            return silent
        try:
            known = await self._verdicts.recall(question.kind, question.stream, question.subject)
        except StateUnavailableError as error:
            return Verdict(503, "silent", f"{silent.reason}; its last verdict is not known: {error}")
        if known is None:
            return silent
        status, said = known
        # A yes to a viewer comes with how long it was meant for.
        grant = Grant.parse(said) if question.kind == "view" and status == 200 else Grant()
        if grant is None:
            return silent
        return Verdict(status, "last-known", f"{silent.reason}; its last verdict was {status}", grant)

    async def _remember(self, question: Question, status: int, grant: Grant) -> None:
        if self._settings.callback_when_silent == "refuse" or question.subject is None:
            return
        said = [grant.dumps()] if question.kind == "view" and status == 200 else []
        try:
            await self._verdicts.remember(question.kind, question.stream, question.subject, status, *said)
        except StateUnavailableError as error:
            record("remember", level=logging.WARNING, stream=question.stream, reason=str(error))


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
