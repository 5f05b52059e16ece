"""What a new process finds: the state of the one before it, made true to the files that are there."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from appliance.media.package.catalogue import (
    REFUSED_STATE_FILE,
    STATE_FILE,
    Entry,
    RenditionState,
    StreamState,
)
from appliance.media.package.listing import PLAYLIST_FILE, init_file, segment_file
from appliance.media.package.state_file import StateError, load_state
from appliance.media.storage import Storage, is_temporary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.settings import Container

log = logging.getLogger(__name__)


def recover(storage: Storage, target: int, part_target: float, container: Container) -> StreamState | None:
    """The state to go on from, or None when a new epoch has to begin.

    Half-written files are deleted, and so are files of the epoch that the state does not know. `target`,
    `part_target` and `container` are those of the present options: they never change within an epoch.
    """
    for name in list(storage.files()):
        if is_temporary(name):
            storage.delete(name)
    data = storage.read(STATE_FILE)
    if data is None:
        return None
    try:
        state = load_state(data)
    except StateError as error:
        log.warning(
            "%s: %s; it is set aside as %s, and a new epoch begins",
            storage.directory / STATE_FILE, error, REFUSED_STATE_FILE,
        )  # fmt: skip
        storage.rename(STATE_FILE, REFUSED_STATE_FILE)
        return None
    if (state.target_duration, state.part_target, state.container) != (target, part_target, container):
        log.info("%s: other segments, or another part length; a new epoch begins", storage.directory)
        return None
    for rendition in state.renditions:
        _check_files(storage, state, rendition)
    _sweep(storage, state)
    state.next_msn = max((item.next_msn or 0 for item in state.renditions), default=0)
    state.breaks = [number for number in state.breaks if number <= state.next_msn]
    align(storage, state)
    return state


def align(storage: Storage, state: StreamState) -> None:
    """Gives every rendition with a history the same newest number; what it lacks becomes gaps."""
    for rendition in state.renditions:
        fill(storage, state, rendition, state.next_msn)


def fill(storage: Storage, state: StreamState, rendition: RenditionState, msn: int) -> bool:
    """Adds gaps to `rendition`, at the times of those that have the segments, up to `msn`, which is left out.

    Whether there were any to add. A rendition without a history gets none: its playlist begins later.
    """
    front = max(state.renditions, key=lambda item: item.next_msn or 0)
    begin = rendition.next_msn
    if begin is None or begin >= msn or not front.entries:
        return False
    if begin < front.entries[0].msn:
        # So far behind that the segments between are forgotten, and so are its own.
        for entry in rendition.entries:
            storage.delete(f"{state.epoch}/{rendition.name}/{segment_file(state, entry.msn)}")
        rendition.entries.clear()
        begin = front.entries[0].msn
    for entry in front.entries:
        if begin <= entry.msn < msn:
            rendition.entries.append(_gap(entry, len(rendition.inits) - 1))
    return True


def _gap(entry: Entry, init: int) -> Entry:
    return Entry(entry.msn, entry.starts_at, entry.duration, 0, init, gap=True)


def _check_files(storage: Storage, state: StreamState, rendition: RenditionState) -> None:
    """An entry without its file is a gap, unless nobody can have seen anything of it."""
    folder = f"{state.epoch}/{rendition.name}"
    inits = {-1} | {
        number for number in range(len(rendition.inits)) if storage.size(f"{folder}/{init_file(number)}")
    }
    for number, entry in enumerate(rendition.entries):
        whole = (
            storage.size(f"{folder}/{segment_file(state, entry.msn)}") == entry.size > 0
            and entry.init in inits
        )
        entry.open = False
        if entry.gap or whole:
            continue
        parts = _parts_on_disk(storage, folder, entry)
        if not parts and number == len(rendition.entries) - 1:
            rendition.entries.pop()
            if not rendition.has_media:
                rendition.entries.clear()  # the gap before a first segment that never came
            return
        if not entry.duration:
            # How long it became, nobody knows any more.
            entry.duration = min(parts * state.part_target, state.target_duration)
            state.next_base += state.target_duration + 1
        entry.lose()
        rendition.lost_segments += 1


def _parts_on_disk(storage: Storage, folder: str, entry: Entry) -> int:
    """How many parts there were, up to the last that has a file: those before it may have been lost."""
    name = re.compile(re.escape(f"{folder}/{entry.msn}.") + r"([0-9]+)\.m4s")
    found = [int(match[1]) for file in storage.files(folder) if (match := name.fullmatch(file))]
    return max(found, default=-1) + 1


def _sweep(storage: Storage, state: StreamState) -> None:
    known = set(_known(state))
    for name in list(storage.files(state.epoch)):
        if name not in known:
            storage.delete(name)


def _known(state: StreamState) -> Iterator[str]:
    for rendition in state.renditions:
        folder = f"{state.epoch}/{rendition.name}"
        yield f"{folder}/{PLAYLIST_FILE}"
        for number in range(len(rendition.inits)):
            yield f"{folder}/{init_file(number)}"
        for entry in rendition.entries:
            if not entry.gap:
                yield f"{folder}/{segment_file(state, entry.msn)}"
