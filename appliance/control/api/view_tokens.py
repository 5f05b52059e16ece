"""The operation that issues view tokens, as `appliance tokens issue` does on a host."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from appliance.control.api.models import NewViewToken, ViewTokenSpec
from appliance.control.api.operations import Operation
from appliance.control.api.problem import ProblemError
from appliance.control.view.issuing import NotIssuedError, Wish, issue_checked, path_of
from appliance.iso_time import iso

if TYPE_CHECKING:
    from starlette.requests import Request

    from appliance.control.context import Control


class ViewTokenOperations:
    """The operation, and what it does."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def operations(self) -> list[Operation]:
        """It alone: a token is kept nowhere, so there is none to list."""
        return [
            Operation(
                id="createViewToken", method="POST", path="/view-tokens", scope="view-tokens:write",
                summary="Issue a view token, with which somebody may watch", handler=self.create,
                body=ViewTokenSpec, answer=NewViewToken, status=201,
                problems={
                    400: "No such token can be issued, a query parameter is unknown or stands there "
                    "twice, or the body broke off."
                },
            ),
        ]  # fmt: skip

    async def create(self, _: Request, body: ViewTokenSpec) -> NewViewToken:
        """Signs one."""
        wish = Wish(
            stream=body.stream,
            seconds=body.expires_in_seconds,
            viewer=body.viewer,
            session=body.session,
            ip=body.ip,
            entitlement=body.entitlement,
            paid_seconds=body.paid_seconds,
        )
        longest = self._control.settings.view_token_max_seconds
        try:
            token, text = issue_checked(
                wish, self._control.token_keys(), now=time.time(), max_seconds=longest
            )
        except NotIssuedError as error:
            raise ProblemError(400, str(error)) from None
        return NewViewToken(token=text, path=path_of(token, text), expires_at=iso(int(token.expires)))
