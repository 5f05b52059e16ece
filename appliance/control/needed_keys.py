"""Whether a content key may be given out: as long as something playable needs it.

The host that packages the stream knows: its files name the keys (`appliance.media.package.needed_keys`). A
host without files of the stream cannot know, and Valkey is not asked, as keys have to be there without it.
So it goes by the age that every key id tells: no key is needed for longer than the settings allow, and the
same bound holds on this host once a stream's files are gone.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from appliance.media.package.catalogue import STATE_FILE
from appliance.media.package.needed_keys import SLACK_SECONDS, longest_need, named_keys

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.names import StreamName
    from appliance.secrets.content_keys import KeyId
    from appliance.settings import Settings

_FUTURE_SECONDS: Final = 60.0
"""How far the clock of the host that made a key may be ahead of ours."""

_AGAIN_SECONDS: Final = 0.5
"""How often an id that is not named has the files read again, although the state is the same.

A full disk can keep the state back while playlists go on; refusing a key that a playlist names ends a player.
"""

_Stamp = tuple[int, int, int]


@dataclass(slots=True)
class _Known:
    """What the files of one stream named when they were read, and until when they named others."""

    stamp: _Stamp
    named: frozenset[str]
    read_at: float
    checked_at: float
    left: dict[str, float] = field(default_factory=dict)


class NeededKeys:
    """Answers from memory; reads a stream's files again when its state has changed. Blocks for a `stat`.

    Parameters
    ----------
    root
        The media root, a tmpfs.
    clock
        Monotonic seconds.
    """

    def __init__(
        self, root: Path, settings: Settings, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._root = root
        self._longest = longest_need(settings)
        self._clock = clock
        self._streams: dict[StreamName, _Known] = {}

    def needs(self, stream: StreamName, kid: KeyId) -> bool:
        """Whether something that can be played needs `kid`, or did less than SLACK_SECONDS ago."""
        text = str(kid)
        known = self._look(stream, text)
        if known is None:
            return -_FUTURE_SECONDS <= time.time() - kid.born <= self._longest
        if text in known.named:
            return True
        left = known.left.get(text)
        return left is not None and self._clock() - left <= SLACK_SECONDS

    def _look(self, stream: StreamName, kid: str) -> _Known | None:
        # as texts: a moment's many viewers all come through here
        known, now = self._streams.get(stream), self._clock()
        stamp = _stamp(f"{self._root}/{stream}/{STATE_FILE}")
        missing = known is not None and kid not in known.named and now - known.read_at >= _AGAIN_SECONDS
        if known is None or known.stamp != stamp or missing:
            # the stamp is older than what is read: a change in between is found the next time
            named = None if stamp is None else named_keys(self._root / stream)
            if stamp is None or named is None:
                self._streams.pop(stream, None)
                return None
            fresh = _Known(stamp, named, now, now)
            if known is not None:
                fresh.left = {kid: since for kid, since in known.left.items() if now - since <= SLACK_SECONDS}
                fresh.left |= dict.fromkeys(known.named - named, known.checked_at)
            self._streams[stream] = known = fresh
        known.checked_at = now
        return known


def _stamp(path: str) -> _Stamp | None:
    try:
        seen = os.lstat(path)
    except OSError:
        return None
    return seen.st_mtime_ns, seen.st_ino, seen.st_size
