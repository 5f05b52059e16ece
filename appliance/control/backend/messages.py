"""The events, as the backend gets them: which there are, and what stands in each.

`publish.ended` has the session of its `publish.started`. A receiver takes an event that it has seen already
(by webhook-id) as said once, and a second `publish.started` of a stream as the end of what was before.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final, Literal

from appliance.state.events import Event

if TYPE_CHECKING:
    from appliance.control.callback import Callback
    from appliance.names import StreamName
    from appliance.state.lease import Lease

PUBLISH_STARTED: Final = "publish.started"
PUBLISH_ENDED: Final = "publish.ended"
PLAY_STARTED: Final = "play.started"
PLAY_ENDED: Final = "play.ended"

Ending = Literal["left", "lost"]
"""How we know of an end: nginx said so, or the comparison with /stat found nobody."""


def publish_started(lease: Lease) -> Event:
    """The stream of `lease` has a publisher."""
    return Event.new(PUBLISH_STARTED, lease.stream, _of_lease(lease))


def publish_ended(lease: Lease, how: Ending) -> Event:
    """The publisher behind `lease` is gone."""
    return Event.new(PUBLISH_ENDED, lease.stream, {**_of_lease(lease), "reason": how})


def play_started(stream: StreamName, callback: Callback, *, host: str) -> tuple[Event, str]:
    """Somebody plays `stream` over RTMP; beside it the session, by which its end is told."""
    session = secrets.token_hex(16)
    data = {"app": callback.app, "client_ip": callback.addr, "host": host, "session": session}
    return Event.new(PLAY_STARTED, stream, data), session


def play_ended(stream: StreamName, callback: Callback, *, host: str, session: str) -> Event:
    """A player of `stream` is gone."""
    data = {"app": callback.app, "client_ip": callback.addr, "host": host, "session": session}
    return Event.new(PLAY_ENDED, stream, data)


def _of_lease(lease: Lease) -> dict[str, Any]:
    return {
        "app": lease.app,
        "client_ip": lease.client_ip,
        "host": lease.host,
        "session": lease.session,
        "started_at": lease.started_at,
    }
