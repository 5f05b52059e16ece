"""The events, as the backend gets them: which there are, and what stands in each.

What ends has the session of what started. A receiver takes an event that it has seen already
(by webhook-id) as said once, and a second `publish.started` of a stream as the end of what was before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from appliance.iso_time import iso
from appliance.state.events import Event

if TYPE_CHECKING:
    from appliance.state.lease import Lease
    from appliance.state.plays import Play

PUBLISH_STARTED: Final = "publish.started"
PUBLISH_ENDED: Final = "publish.ended"
PUBLISH_REFUSED: Final = "publish.refused"
PLAY_STARTED: Final = "play.started"
PLAY_ENDED: Final = "play.ended"
KEY_ROTATED: Final = "key.rotated"

Ending = Literal["left", "lost", "dropped", "revoked", "limit"]
"""Why somebody is gone.

left: by itself, as nginx said; lost: a comparison found nobody (`appliance.control.ends`). Of publishers also
dropped: an operator asked for it; revoked: its key was revoked, or its stream removed; limit: it broke one.
"""


def publish_started(lease: Lease) -> Event:
    """The stream of `lease` has a publisher."""
    return Event.new(PUBLISH_STARTED, lease.stream, _of_lease(lease))


def publish_ended(lease: Lease, how: Ending) -> Event:
    """The publisher behind `lease` is gone."""
    return Event.new(PUBLISH_ENDED, lease.stream, {**_of_lease(lease), "reason": how})


def publish_refused(stream: str, *, app: str, client_ip: str, host: str, reason: str) -> Event:
    """Somebody with a good key was sent away, because `host` cannot encode one stream more."""
    told = {"app": app, "client_ip": client_ip, "host": host, "reason": reason}
    return Event.new(PUBLISH_REFUSED, stream, told)


def play_started(play: Play, *, host: str) -> Event:
    """Somebody plays a stream over RTMP."""
    return Event.new(PLAY_STARTED, play.stream, _of_play(play, host))


def play_ended(play: Play, how: Ending, *, host: str) -> Event:
    """A player is gone."""
    return Event.new(PLAY_ENDED, play.stream, {**_of_play(play, host), "reason": how})


def key_rotated(
    name: str, *, host: str, stream: str = "", kid: str | None = None, generation: int | None = None
) -> Event:
    """Another key or secret is in use; which one, never its value.

    Parameters
    ----------
    name
        content-key, master-key, or the name of the credential.
    stream
        Whose content key it is; empty for what concerns all streams.
    kid
        The id of the new key, where it has one.
    generation
        Of the new master key.
    """
    known = {"key": name, "kid": kid, "generation": generation, "host": host}
    return Event.new(KEY_ROTATED, stream, {key: value for key, value in known.items() if value is not None})


def _of_play(play: Play, host: str) -> dict[str, Any]:
    return {
        "app": play.app,
        "client_ip": play.client_ip,
        "host": host,
        "session": play.session,
        "started_at": iso(play.since),
    }


def _of_lease(lease: Lease) -> dict[str, Any]:
    return {
        "app": lease.app,
        "client_ip": lease.client_ip,
        "host": lease.host,
        "session": lease.session,
        "started_at": lease.started_at,
    }
