"""Who watches, as this host has seen it, and whose session was ended.

No viewer waits for it: every second what was seen is written to Valkey, and who is refused is read from
there. While Valkey is silent both go on in memory.
"""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from appliance.control.view.tokens import TokenRefusedError
from appliance.state.valkey import StateUnavailableError
from appliance.state.viewers import WINDOW_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.control.view.viewer import Viewer
    from appliance.names import StreamName
    from appliance.state.viewers import About, ViewerSessions

NO_TOKEN_SECONDS: Final = 3600.0
"""How long an ended session is refused that has no token of ours, whose end would say."""

_MOST: Final = 20_000
"""Sessions that are remembered; beyond it the one not seen for longest is forgotten."""


class Viewers:
    """The sessions of this host. Used from one event loop only.

    Parameters
    ----------
    sessions
        Those of all hosts.
    clock
        Monotonic seconds.
    """

    def __init__(self, sessions: ViewerSessions, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._sessions = sessions
        self._clock = clock
        self._seen: dict[str, float] = {}  # in the order of the times
        self._unsaved: dict[str, Viewer] = {}
        self._ended: dict[str, float] = {}
        self.silent = False
        """Whether Valkey did not answer when it was asked last."""

    def refuse_ended(self, viewer: Viewer) -> None:
        """Raises TokenRefusedError (403) when an operator has ended the session of `viewer`."""
        if not self._ended:
            return
        until = max(self._ended.get(viewer.id, 0.0), self._ended.get(viewer.about.token or "", 0.0))
        if until > time.time():
            raise TokenRefusedError(403, "an operator has ended the session")

    def note(self, viewer: Viewer) -> None:
        """`viewer` was let in, now."""
        self._seen.pop(viewer.id, None)
        self._seen[viewer.id] = self._clock()
        self._unsaved[viewer.id] = viewer
        for kept in (self._seen, self._unsaved):
            if len(kept) > _MOST:
                del kept[next(iter(kept))]

    def is_in(self, viewer: Viewer) -> bool:
        """Whether this host has let `viewer` in not long ago."""
        seen = self._seen.get(viewer.id)
        return seen is not None and self._clock() - seen <= WINDOW_SECONDS

    async def end(self, stream: StreamName, session_id: str) -> bool:
        """Ends a session and refuses it, and its token wherever it is shown; False when it is not there.

        Raises StateUnavailableError.
        """
        await self.sync()  # it may have come a moment ago
        about = await self._sessions.get(stream, session_id)
        if about is None:
            return False
        until = time.time() + NO_TOKEN_SECONDS
        if about.expires is not None:
            until = about.expires if about.policy == "token" else max(until, about.expires)
        who = [session_id] if about.token is None else [session_id, about.token]
        await self._sessions.end(who, until)
        self._ended |= dict.fromkeys(who, until)
        return True

    async def sync(self) -> None:
        """Reads who is refused, and writes who was seen. Raises StateUnavailableError.

        A Valkey that is full is not silent: it says who is refused, and takes no more.
        """
        # Those who are still there are seen again before the list could miss them.
        unsaved, self._unsaved = self._unsaved, {}
        try:
            self._ended = await self._sessions.ended()
        except StateUnavailableError:
            self.silent = True
            raise
        self.silent = False
        streams: defaultdict[StreamName, dict[str, About]] = defaultdict(dict)
        for viewer in unsaved.values():
            streams[viewer.stream][viewer.id] = viewer.about
        for stream, sessions in streams.items():
            await self._sessions.note(stream, sessions)
