"""Operations on bans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from appliance.control.api.models import BanItem, BanList
from appliance.control.api.operations import Operation
from appliance.control.api.problem import ProblemError

if TYPE_CHECKING:
    from starlette.requests import Request

    from appliance.control.context import Control


class BanOperations:
    """The operations, and what they do."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def operations(self) -> list[Operation]:
        """All of them, as the API lists them."""
        return [
            Operation(
                id="listBans", method="GET", path="/bans", scope="streams:read",
                summary="Who may not publish after failing too often", handler=self.all, answer=BanList,
            ),
            Operation(
                id="liftBan", method="DELETE", path="/bans/{who:path}", scope="bans:write",
                summary="Let an address or network try again", handler=self.lift, status=204,
                problems={404: "It is not banned."},
            ),
        ]  # fmt: skip

    async def all(self, _: Request, __: Any) -> BanList:
        """All bans."""
        return BanList(
            items=[
                BanItem(who=ban.who, seconds=round(ban.seconds, 1)) for ban in await self._control.bans.all()
            ]
        )

    async def lift(self, request: Request, _: Any) -> None:
        """Ends one."""
        who = request.path_params["who"]
        if not await self._control.bans.lift(who):
            raise ProblemError(404, f"{who} is not banned")
