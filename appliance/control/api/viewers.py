"""Operations on who watches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from appliance.control.api.models import ViewerItem, ViewerPage
from appliance.control.api.operations import Operation
from appliance.control.api.paging import page_parameters, page_wanted
from appliance.control.api.problem import ProblemError
from appliance.control.api.streams import stream_of
from appliance.control.view.policy import TO_HAVE_IT_ASK, delivery_asks
from appliance.iso_time import iso

if TYPE_CHECKING:
    from starlette.requests import Request

    from appliance.control.context import Control
    from appliance.state.viewers import Watching


class ViewerOperations:
    """The operations, and what they do. A stream need not be registered for them."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def operations(self) -> list[Operation]:
        """All of them, as the API lists them."""
        return [
            Operation(
                id="listViewers", method="GET", path="/streams/{stream}/viewers", scope="viewers:read",
                summary="Who watches a stream: the sessions of the last 30 s", handler=self.page,
                answer=ViewerPage, parameters=page_parameters("Viewers"),
                problems={
                    404: "It is no name of a stream.",
                    409: "The delivery of this host asks nobody who may watch, so nobody is known.",
                },
            ),
            Operation(
                id="endViewer", method="DELETE", path="/streams/{stream}/viewers/{viewer}",
                scope="viewers:drop",
                summary="End a session: it is refused until its token ends, for an hour where it has none",
                handler=self.end, status=204,
                problems={404: "There is no such session."},
            ),
        ]  # fmt: skip

    async def page(self, request: Request, _: Any) -> ViewerPage:
        """Some of them."""
        stream, (after, limit) = stream_of(request), page_wanted(request)
        if not delivery_asks(self._control.settings):
            raise ProblemError(
                409,
                f"the delivery of this host asks nobody who may watch, so nobody is known. {TO_HAVE_IT_ASK}",
            )
        await self._control.viewers.sync()  # also who came within the last second
        found = await self._control.viewer_sessions.page(stream, after=after, limit=limit)
        last = found.items[-1].id if len(found.items) == limit else None
        return ViewerPage(items=[_shown(each) for each in found.items], total=found.total, next=last)

    async def end(self, request: Request, _: Any) -> None:
        """Ends one."""
        stream, viewer = stream_of(request), request.path_params["viewer"]
        if not await self._control.viewers.end(stream, viewer):
            raise ProblemError(404, f"nobody watches {stream} in the session {viewer}")


def _shown(watching: Watching) -> ViewerItem:
    about = watching.about
    return ViewerItem(
        id=watching.id,
        viewer=about.viewer,
        session=about.session,
        client_ip=about.address,
        user_agent=about.user_agent,
        policy=about.policy,
        since=iso(watching.since),
        seen_at=iso(watching.seen),
        ends_at=None if about.expires is None else iso(about.expires),
    )
