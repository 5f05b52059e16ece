"""Signing in and out: a name and its password for a session.

Guessing is bounded three times: by address on this host (`appliance.control.attempts`), by name and by
address on all hosts (failures lock both out for a while), and by one comparison at a time, which takes 0.4 s.
So somebody who may reach the dashboard at all can keep an operator of known name out; the networks that may
are the role's variable `delivery_dashboard_networks`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from starlette.responses import JSONResponse, Response

from appliance.address import subject
from appliance.control.api.caller import address_of, require_secrecy
from appliance.control.api.operations import parsed, read_body
from appliance.control.api.problem import ProblemError
from appliance.control.attempts import Attempts
from appliance.control.dashboard.cookie import give, shown, take_back
from appliance.control.dashboard.guard import audit, changes_from_our_page, from_our_page, silent_state
from appliance.control.responses import NO_STORE
from appliance.digest import digest
from appliance.secrets.passwords import LONGEST, NOBODYS
from appliance.state.bans import Lockouts
from appliance.state.operators import Operators
from appliance.state.valkey import StateUnavailableError

if TYPE_CHECKING:
    from starlette.requests import Request

    from appliance.control.context import Control
    from appliance.state.operator_sessions import OperatorSessions, Session
    from appliance.state.operators import Operator

_ATTEMPTS: Final = 30
"""Of one address within a minute."""
_FAILURES: Final = 10
_WINDOW_SECONDS: Final = 600.0
_OUT_SECONDS: Final = 600.0
"""For ten failures within ten minutes: so at most 1440 guesses a day, of each name and from each address."""

_WAITING: Final = 8
"""Comparisons that may wait for their turn; each holds 32 MiB while it is made."""

_NOBODY: Final = "-"
"""In the audit: a name that no operator has, or that nobody could look up."""

_REFUSED: Final = "the name or the password is not right"
_IN_THE_CLEAR: Final = (
    "over plain HTTP anybody on the way could read the password; use https://, or a tunnel: "
    "ssh -L 8080:127.0.0.1:8080 HOST"
)


class _Credentials(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    name: Annotated[str, Field(max_length=100)]
    password: Annotated[str, Field(max_length=4 * LONGEST)]


_CREDENTIALS: Final = TypeAdapter(_Credentials)


class SigningIn:
    """The endpoints of `/dashboard/session`."""

    def __init__(self, control: Control, sessions: OperatorSessions) -> None:
        self._operators = Operators(control.state)
        self._sessions = sessions
        self._attempts = Attempts(_ATTEMPTS)
        self._lockouts = Lockouts(
            control.state,
            kind="operator_",
            failures=_FAILURES,
            window_seconds=_WINDOW_SECONDS,
            ban_seconds=_OUT_SECONDS,
        )
        self._comparing = asyncio.Semaphore(1)
        self._waiting = 0

    async def sign_in(self, request: Request) -> Response:
        """200 with a cookie; 401 for a wrong name or password, 403 for another page or plain HTTP, 429.

        The audit has the names of operators alone: people type passwords where a name belongs.
        """
        name = ""
        try:
            changes_from_our_page(request)
            require_secrecy(request, _IN_THE_CLEAR)
            given: _Credentials = parsed(await read_body(request), _CREDENTIALS)
            name = given.name
            operator = await self._operator(given, address_of(request))
            if (before := shown(request)) != "":
                await self._sessions.end(before)
            session_id, session = await self._sessions.begin(operator)
        except ProblemError as problem:
            audit(request, "sign in", await self._known(name), problem.status, problem.detail)
            return problem.response()
        except StateUnavailableError as error:
            audit(request, "sign in", _NOBODY, 503, str(error))
            return silent_state()
        audit(request, "sign in", name, 200)
        answer = JSONResponse({"operator": session.operator}, headers=NO_STORE)
        give(answer, request, session_id)
        return answer

    async def sign_out(self, request: Request, _: Session) -> Response:
        """204, and the session is over."""
        await self._sessions.end(shown(request))
        answer = Response(status_code=204, headers=NO_STORE)
        take_back(answer, request)
        return answer

    async def who(self, request: Request) -> Response:
        """200 with who is signed in, null for nobody: a page that asks has done nothing wrong.

        It is no use of the session: a page that nobody looks at asks, too.
        """
        try:
            from_our_page(request)
            session = await self._sessions.find(shown(request), used=False)
        except ProblemError as problem:
            return problem.response()
        except StateUnavailableError:
            return silent_state()
        return JSONResponse({"operator": None if session is None else session.operator}, headers=NO_STORE)

    async def _known(self, name: str) -> str:
        """`name` when an operator has it, else what stands for any other."""
        try:
            return name if name and await self._operators.find(name) is not None else _NOBODY
        except StateUnavailableError:
            return _NOBODY

    async def _operator(self, given: _Credentials, address: str) -> Operator:
        """Raises ProblemError 401 and 429, StateUnavailableError."""
        if self._attempts.too_many(address):
            raise _later(60, "too many attempts")
        counted = [f"name:{digest(given.name)}"]
        if (who := subject(address)) is not None:
            counted.append(f"address:{who}")
        for each in counted:
            if (out := await self._lockouts.find(each)) is not None:
                raise _later(out.seconds, "too many failures")
        operator = await self._operators.find(given.name)
        fits = await self._compare(operator, given.password)
        if operator is None or not fits:
            for each in counted:
                await self._lockouts.fail(each)
            if operator is None and not await self._operators.any():
                raise ProblemError(
                    401, "there is no operator yet; on a host, as root: appliance operators add NAME"
                )
            raise ProblemError(401, _REFUSED)
        return operator

    async def _compare(self, operator: Operator | None, password: str) -> bool:
        if self._waiting >= _WAITING:
            raise _later(5, "too many attempts")
        self._waiting += 1
        try:
            async with self._comparing:
                kept = NOBODYS if operator is None else operator.password
                return await asyncio.to_thread(kept.fits, password)
        finally:
            self._waiting -= 1


def _later(seconds: float, why: str) -> ProblemError:
    whole = max(1, round(seconds))
    return ProblemError(429, f"{why}; try again in {whole} s", headers={"Retry-After": str(whole)})
