"""Content keys that change, told to the backend: a stream changes its own by its clock, a timer or a command.

Which key is in use stands in the stream's status file. A stream's first key replaces none and is not told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.state.event_kinds import key_rotated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from appliance.media.status_reading import Reading
    from appliance.names import StreamName
    from appliance.state.events import Event


class KeyChanges:
    """The content keys of this host's streams; `host` is its name in what is told."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._told: dict[StreamName, str] = {}

    def look(self, live: Mapping[StreamName, Reading]) -> Iterator[Event]:
        """What is to be told now. An event counts as told when the next one is asked for."""
        for gone in self._told.keys() - live.keys():
            del self._told[gone]
        for stream, status in live.items():
            kid = status.text("media", "content_key", "kid")
            if kid is None:
                continue
            if self._told.get(stream, kid) != kid:
                yield key_rotated("content-key", host=self._host, stream=stream, kid=kid)
            self._told[stream] = kid
