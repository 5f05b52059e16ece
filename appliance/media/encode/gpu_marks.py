"""Which GPUs of this host have failed: known to all of its streams, and to the control service.

A file for each GPU in the directory that the streams' units share (`encoder_memory`): tmpfs, so that a boot
forgets it. A marked GPU gets no stream. It is tried again by encoding a frame, after 30 s, then after twice
as long each time, up to 10 minutes; whichever stream of the host sees first that this is due does it (a lock
lets one at a time read the marks and write them). When that works the mark is gone; a GPU that fails again
within 10 minutes goes on with the pauses where they were.

All of this is done in the loop that plays a stream, with files that any stream's process can write: nobody
waits long for the lock, and what is read is bounded and checked.

Whoever tries stays where it is: a stream goes to a GPU that works again when its publisher comes next, or
when the CPU is too slow for it (`planning`). Each change costs its viewers a discontinuity, and a card that
has failed once may fail again.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import logging
import math
import os
import re
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from appliance.media.encode.gpus import GpuId
from appliance.media.plain_file import read_plain
from appliance.media.storage import Storage, StorageError
from appliance.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

log = logging.getLogger(__name__)

FIRST_PAUSE_S: Final = 30.0
LONGEST_PAUSE_S: Final = 600.0
_TRIES_S: Final = 20.0
"""Longest trial: meanwhile no other stream begins one."""

_LOCK_TRIES: Final = 10
_LOCK_PAUSE_S: Final = 0.02
"""Between two tries to get the lock, which is held for a millisecond."""

_NAME: Final = re.compile(r"gpu-(any|GPU-[0-9A-Za-z-]{1,64})\.json\Z")
_LOCK: Final = "gpu-marks.lock"
_LARGEST: Final = 16 * 1024
_LONGEST_REASON: Final = 500
_MOST_FILES: Final = 64
"""More GPUs than any host has."""
_MOST_TRIES: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Mark:
    """A GPU that has failed. Times are unix seconds.

    `gpu` is None where nobody could tell its name, so that all are meant. `tries` is how often it was found
    not to work, `again_at` when it is tried next. `works_since` is None while it does not.
    """

    gpu: GpuId | None
    reason: str
    since: float
    tries: int
    again_at: float
    works_since: float | None = None

    @property
    def name(self) -> str:
        """For people, and a metric's label: the index, or `any`."""
        return "any" if self.gpu is None else str(self.gpu.index)

    @property
    def device(self) -> str:
        """The GPU, in words."""
        return "the GPU" if self.gpu is None else str(self.gpu)

    @property
    def text(self) -> str:
        """In words, without the times."""
        return f"{self.device} has failed: {self.reason}"

    def of(self, gpu: GpuId | None) -> bool:
        """Whether it speaks against `gpu`, None being one whose name nobody knows."""
        return self.gpu is None or self.gpu == gpu


def read_marks(directory: Path) -> list[Mark]:
    """Returns the GPUs that are marked in `directory`, where streams write: whatever is no mark is none."""
    return [mark for mark in _read_all(directory) if mark.works_since is None]


class GpuMarks:
    """The marks as a stream's process sees and makes them.

    Parameters
    ----------
    directory
        Where they are kept; None, as outside of a unit, keeps none.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._storage = None if directory is None else Storage(directory)

    @property
    def kept(self) -> bool:
        """Whether there is a place for marks: where there is none, nothing is known of a GPU's recovery."""
        return self._storage is not None

    def against(self, gpu: GpuId | None) -> Mark | None:
        """Returns the mark that speaks against `gpu`; None when there is none."""
        marks = (self._read(gpu), self._read(None))
        return next((mark for mark in marks if mark is not None and mark.works_since is None), None)

    def put(self, gpu: GpuId | None, reason: str) -> None:
        """`gpu` has failed. What another stream has said meanwhile counts once."""
        with self._alone_soon():
            now, known = time.time(), self._read(gpu)
            if known is not None and known.works_since is None and now < known.again_at:
                return
            if known and known.works_since is not None and abs(now - known.works_since) > LONGEST_PAUSE_S:
                known = None  # in the future it is where the clock was set back
            self._fail(known, gpu, reason, now)

    def due(self) -> Mark | None:
        """Returns a GPU to be tried now, which nobody else will try meanwhile; None when there is none."""
        if self._first_due() is None:
            return None  # nearly always: without a lock, and cheap on a host without a GPU
        with self._alone(tries=1) as alone:
            # Whoever holds the lock may be about to try it; and the next look is in seconds.
            mark = self._first_due() if alone else None
            if mark is not None:
                self._write(replace(mark, again_at=time.time() + _TRIES_S))
            return mark

    def tried(self, mark: Mark, failure: str | None) -> None:
        """The GPU of `mark`, which was due, was tried: `failure` says in words why it does not work."""
        with self._alone_soon():
            if failure is not None:
                self._fail(mark, mark.gpu, failure, time.time())
                return
            log.warning("%s works again; it failed %.0f s ago", mark.device, time.time() - mark.since)
            self._write(replace(mark, works_since=time.time()))

    @contextlib.contextmanager
    def _alone(self, *, tries: int = _LOCK_TRIES) -> Iterator[bool]:
        """Says whether no other stream reads marks and writes them meanwhile; False while one does so.

        It blocks for `_LOCK_PAUSE_S` between two of the `tries`.
        """
        with contextlib.ExitStack() as stack:
            yield self._directory is None or _locked(self._directory / _LOCK, stack, tries)

    @contextlib.contextmanager
    def _alone_soon(self) -> Iterator[None]:
        """The same for what has to be written: without the lock, too, when somebody keeps it.

        Every file is whole at any time, so at worst a failure is not counted. A failed GPU that nobody marks
        would get the next streams.
        """
        with self._alone() as alone:
            if not alone:
                log.warning("%s is held by another process: marks are written without it", _LOCK)
            yield

    def _fail(self, before: Mark | None, gpu: GpuId | None, reason: str, now: float) -> None:
        tries = 1 if before is None else before.tries + 1
        since = now if before is None or before.works_since is not None else before.since
        pause = min(FIRST_PAUSE_S * 2 ** min(tries - 1, 10), LONGEST_PAUSE_S)
        mark = Mark(gpu, printable(reason)[:_LONGEST_REASON], since, tries, now + pause)
        log.error("%s; it is tried again in %.0f s", mark.text, pause)
        self._write(mark)

    def _first_due(self) -> Mark | None:
        marks = [] if self._directory is None else read_marks(self._directory)
        now = time.time()
        return next((mark for mark in marks if mark.again_at <= now), None)

    def _read(self, gpu: GpuId | None) -> Mark | None:
        return None if self._directory is None else _read_file(self._directory, _file(gpu))

    def _write(self, mark: Mark) -> None:
        if self._storage is None:
            return
        try:
            self._storage.write(_file(mark.gpu), json.dumps(asdict(mark)).encode())
        except StorageError as error:
            log.warning("the mark of %s is not kept: %s", mark.device, error)


def _locked(path: Path, stack: contextlib.ExitStack, tries: int) -> bool:
    """Takes the lock `path` until `stack` ends; False when another process holds it at each of `tries`."""
    try:
        # Who may only read the marks, as the group may, must not be able to hold it.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return True  # nothing can be written there, and nothing will be
    stack.callback(os.close, descriptor)
    for number in range(tries):
        if number:
            time.sleep(_LOCK_PAUSE_S)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        except OSError:
            return True  # no lock is to be had there
        return True
    return False


def _file(gpu: GpuId | None) -> str:
    return f"gpu-{'any' if gpu is None else gpu.uuid}.json"


def _read_all(directory: Path) -> list[Mark]:
    try:
        with os.scandir(directory) as entries:
            ours = (entry.name for entry in entries if _NAME.match(entry.name))
            names = sorted(itertools.islice(ours, _MOST_FILES))
    except OSError:
        return []
    found = (_read_file(directory, name) for name in names)
    return [mark for mark in found if mark is not None]


def _read_file(directory: Path, name: str) -> Mark | None:
    mark = _parsed(read_plain(directory / name, largest=_LARGEST))
    return mark if mark is not None and _file(mark.gpu) == name else None


def _parsed(data: bytes | None) -> Mark | None:
    try:
        kept = json.loads(data or b"null")
        gpu, works = kept["gpu"], kept["works_since"]
        return Mark(
            None if gpu is None else GpuId.parse(gpu),
            printable(str(kept["reason"]))[:_LONGEST_REASON],
            max(0.0, _finite(kept["since"])),
            min(max(1, int(kept["tries"])), _MOST_TRIES),
            _no_later(_finite(kept["again_at"]), time.time() + LONGEST_PAUSE_S + _TRIES_S),
            None if works is None else _finite(works),
        )
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


def _no_later(again_at: float, latest: float) -> float:
    """`again_at`, but what no pause can be that long is due: the clock has been set back."""
    return again_at if again_at <= latest else 0.0


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("no time")
    return number


def by_gpu(marks: Iterable[Mark], gpus: Iterable[GpuId]) -> Mapping[GpuId, str]:
    """Returns which of `gpus` get no stream, and why in words."""
    known = list(marks)
    return {gpu: mark.text for gpu in gpus for mark in known if mark.of(gpu)}
