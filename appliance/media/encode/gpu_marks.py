"""Which GPUs of this host have failed: known to all of its streams, and to the control service.

A file for each GPU in the directory that the streams' units share (`encoder_memory`): tmpfs, so that a boot
forgets it. A marked GPU gets no stream. It is tried again by encoding a frame, after 30 s, then after twice
as long each time, up to 10 minutes; whichever stream of the host sees first that this is due does it (a lock
lets one at a time read the marks and write them). When that works the mark is gone; a GPU that fails again
within 10 minutes goes on with the pauses where they were.

Whoever tries stays where it is: a stream goes to a GPU that works again when its publisher comes next, or
when the CPU is too slow for it (`planning`). Each change costs its viewers a discontinuity, and a card that
has failed once may fail again.
"""

from __future__ import annotations

import contextlib
import fcntl
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

_NAME: Final = re.compile(r"gpu-(any|GPU-[0-9A-Za-z-]{1,64})\.json\Z")
_LOCK: Final = "gpu-marks.lock"
_LARGEST: Final = 16 * 1024
_LONGEST_REASON: Final = 500


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
        marks = [] if self._directory is None else read_marks(self._directory)
        return next((mark for mark in marks if mark.of(gpu)), None)

    def put(self, gpu: GpuId | None, reason: str) -> None:
        """`gpu` has failed. What another stream has said meanwhile counts once."""
        with self._alone():
            now, known = time.time(), self._read(gpu)
            if known is not None and known.works_since is None and now < known.again_at:
                return
            if known and known.works_since is not None and now - known.works_since > LONGEST_PAUSE_S:
                known = None
            self._fail(known, gpu, reason, now)

    def due(self) -> Mark | None:
        """Returns a GPU to be tried now, which nobody else will try meanwhile; None when there is none."""
        with self._alone():
            now = time.time()
            for mark in [] if self._directory is None else read_marks(self._directory):
                if mark.again_at <= now:
                    self._write(replace(mark, again_at=now + _TRIES_S))
                    return mark
        return None

    def tried(self, mark: Mark, failure: str | None) -> None:
        """The GPU of `mark`, which was due, was tried: `failure` says in words why it does not work."""
        with self._alone():
            if failure is not None:
                self._fail(mark, mark.gpu, failure, time.time())
                return
            log.warning("%s works again; it failed %.0f s ago", mark.device, time.time() - mark.since)
            self._write(replace(mark, works_since=time.time()))

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """No other stream reads marks and writes them meanwhile, which takes a moment."""
        with contextlib.ExitStack() as stack:
            if self._directory is not None:
                with contextlib.suppress(OSError):  # nothing can be written there, and nothing will be
                    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
                    descriptor = os.open(self._directory / _LOCK, flags, 0o640)
                    stack.callback(os.close, descriptor)
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield

    def _fail(self, before: Mark | None, gpu: GpuId | None, reason: str, now: float) -> None:
        tries = 1 if before is None else before.tries + 1
        since = now if before is None or before.works_since is not None else before.since
        pause = min(FIRST_PAUSE_S * 2 ** min(tries - 1, 10), LONGEST_PAUSE_S)
        mark = Mark(gpu, printable(reason)[:_LONGEST_REASON], since, tries, now + pause)
        log.error("%s; it is tried again in %.0f s", mark.text, pause)
        self._write(mark)

    def _read(self, gpu: GpuId | None) -> Mark | None:
        every = [] if self._directory is None else _read_all(self._directory)
        return next((mark for mark in every if mark.gpu == gpu), None)

    def _write(self, mark: Mark) -> None:
        if self._storage is None:
            return
        try:
            name = "any" if mark.gpu is None else mark.gpu.uuid
            self._storage.write(f"gpu-{name}.json", json.dumps(asdict(mark)).encode())
        except StorageError as error:
            log.warning("the mark of %s is not kept: %s", mark.device, error)


def _read_all(directory: Path) -> list[Mark]:
    try:
        names = sorted(path.name for path in directory.iterdir() if _NAME.match(path.name))
    except OSError:
        return []
    found = (_parsed(read_plain(directory / name, largest=_LARGEST)) for name in names)
    return [mark for mark in found if mark is not None]


def _parsed(data: bytes | None) -> Mark | None:
    try:
        kept = json.loads(data or b"null")
        gpu, works = kept["gpu"], kept["works_since"]
        return Mark(
            None if gpu is None else GpuId.parse(gpu),
            printable(str(kept["reason"]))[:_LONGEST_REASON],
            _finite(kept["since"]),
            max(1, int(kept["tries"])),
            _finite(kept["again_at"]),
            None if works is None else _finite(works),
        )
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("no time")
    return number


def by_gpu(marks: Iterable[Mark], gpus: Iterable[GpuId]) -> Mapping[GpuId, str]:
    """Returns which of `gpus` get no stream, and why in words."""
    known = list(marks)
    return {gpu: mark.text for gpu in gpus for mark in known if mark.of(gpu)}
