"""Which content keys the media on disk still needs.

A key is needed while its id stands in the stream's state (the live window, what stays behind it for slow
players, the key in use) or in a playlist (of an epoch before this one, whose last viewers are still there).
Ids are looked for in the text, not in its structure: what a release before or after ours has written counts
as well.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from appliance.media.package.catalogue import STATE_FILE
from appliance.media.package.listing import PLAYLIST_FILE, kept_segments
from appliance.media.plain_file import read_plain
from appliance.names import is_stream_name
from appliance.secrets.content_keys import KEY_ID

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.settings import Settings

SLACK_SECONDS: Final = 60.0
"""How long a key outlives what needed it: a viewer may hold a segment that is gone, and two clocks differ."""

_KEY_ID: Final = re.compile(rf"(?<![0-9a-f]){KEY_ID}(?![0-9a-f])".encode())


def named_keys(directory: Path) -> frozenset[str] | None:
    """The key ids that a stream's `directory` names; None when there is no state of a stream."""
    state = read_plain(directory / STATE_FILE)
    if state is None:
        return None
    texts = [state, *(read_plain(path) or b"" for path in directory.glob(f"*/*/{PLAYLIST_FILE}"))]
    return frozenset(found.decode() for text in texts for found in _KEY_ID.findall(text))


def named_by_stream(root: Path) -> dict[str, frozenset[str]]:
    """The key ids that each stream below the media root names."""
    streams = sorted(path for path in root.iterdir() if is_stream_name(path.name)) if root.is_dir() else []
    return {path.name: keys for path in streams if (keys := named_keys(path)) is not None}


def longest_need(settings: Settings) -> float:
    """Seconds after its making in which a key may be needed at most, whatever its stream met.

    It is used for `rotation_seconds`. The last segment under it then waits behind the window until as many
    came after it, each of them perhaps after a wait for a publisher; or it stays until the stream's end is
    forgotten.
    """
    segments = kept_segments(settings.window_segments)
    waits = (segments + 1) * settings.grace_seconds + segments * (settings.segment_seconds + 1)
    return settings.rotation_seconds + waits + settings.retain_seconds + SLACK_SECONDS
