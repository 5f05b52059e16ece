"""Keeps one player connected to the ingest nginx for as long as the stream's unit lives."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from appliance.media.rtmp.client import PublisherEvent, RtmpError, RtmpPlayer, RtmpUrl

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.media.rtmp.chunks import Message

log = logging.getLogger(__name__)

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """A frame and the moment it came: seconds since 1970."""

    message: Message
    wall: float


@dataclass(frozen=True, slots=True)
class Joined:
    """The server has accepted the player."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection is lost, or could not be made; `reason` in words."""

    reason: str


ReaderEvent = Arrival | PublisherEvent | Joined | Lost


async def read_stream(url: RtmpUrl, play_name: Callable[[], str], put: Callable[[ReaderEvent], None]) -> None:
    """Plays from `url` for ever, connecting anew after 0.1 s, then later, at most 2 s.

    `play_name` says at each connection what is played. `put` gets Joined, each message with the moment it
    came, the publisher's coming and going, and Lost.
    """
    pause = _FIRST_PAUSE_S
    last_reason = ""
    while True:
        try:
            player = await RtmpPlayer.play(url, play_name())
        except RtmpError as error:
            reason = str(error)
        else:
            log.info("joined %s", url)
            put(Joined())
            pause, last_reason = _FIRST_PAUSE_S, ""
            reason = await _read(player, put)
        put(Lost(reason))
        if reason != last_reason:
            log.warning("reader: %s; connecting again", reason)
            last_reason = reason
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_S)


async def _read(player: RtmpPlayer, put: Callable[[ReaderEvent], None]) -> str:
    try:
        async for event in player.messages():
            put(event if isinstance(event, PublisherEvent) else Arrival(event, time.time()))
    except RtmpError as error:
        return str(error)
    finally:
        await player.close()
    return "the connection ended"
