"""The capacity file: what the probes have measured, which machine it holds for, and what made it.

Written whole or not at all. What is not of this form is refused as a whole: a wrong figure would let in
streams that stutter, or keep out streams that would not.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import AfterValidator, ConfigDict, TypeAdapter, ValidationError

from appliance.media.capacity.figures import CpuFigures, GpuFigures
from appliance.media.capacity.machine import Machine
from appliance.media.plain_file import read_plain

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION: Final = 1
_LARGEST: Final = 1 << 20
_STRICT: Final = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeWith:
    """When (ISO 8601), and with what: a ladder by its name and mark, FFmpeg by its version."""

    __pydantic_config__ = _STRICT

    at: str
    ffmpeg: str
    ladder: str
    ladder_mark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredCpu:
    """What the CPU carries; `model` is its name, for people."""

    __pydantic_config__ = _STRICT

    made: MadeWith
    machine: Machine
    model: str
    figures: CpuFigures


def _each_once(gpus: tuple[GpuFigures, ...]) -> tuple[GpuFigures, ...]:
    """A GPU that is there twice would be given away twice."""
    uuids = [gpu.uuid for gpu in gpus]
    if twice := [uuid for uuid in dict.fromkeys(uuids) if uuids.count(uuid) > 1]:
        raise ValueError(f"more than once: {twice[0]!r}")
    return gpus


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredGpus:
    """What the GPUs carry."""

    __pydantic_config__ = _STRICT

    made: MadeWith
    driver: str
    gpus: Annotated[tuple[GpuFigures, ...], AfterValidator(_each_once)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """All that was measured; None for what was not."""

    __pydantic_config__ = _STRICT

    version: Literal[1] = VERSION
    cpu: MeasuredCpu | None = None
    gpus: MeasuredGpus | None = None

    @property
    def of_gpus(self) -> tuple[GpuFigures, ...]:
        """The GPUs that encode."""
        return tuple(gpu for gpu in self.gpus.gpus if gpu.encodes) if self.gpus is not None else ()


_FORM: Final = TypeAdapter(Capacity)


def parse_capacity(text: str | bytes) -> Capacity:
    """Returns what `text` says. Raises ValueError, whose one line says what is wrong where."""
    try:
        return _FORM.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"no measurement of version {VERSION}: {where}: {first['msg']}") from None


def read_capacity(file: Path) -> Capacity:
    """Returns what `file` holds.

    Raises FileNotFoundError when there is none, OSError when it cannot be read, and ValueError when it is no
    regular file, or holds no measurement.
    """
    mode = file.lstat().st_mode
    if not stat.S_ISREG(mode):
        raise ValueError(_no_file(mode))
    if (data := read_plain(file, largest=_LARGEST)) is not None:
        return parse_capacity(data)
    os.close(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC))  # says why not
    raise ValueError(f"it is larger than {_LARGEST} bytes")


def require_keepable(file: Path) -> None:
    """Raises OSError, with the reason in words, when `keep` could not put anything into `file`.

    It leaves nothing behind. A link or a device is not replaced, whoever asks for it.
    """
    _require_file_or_none(file)
    if file.name == "..":
        raise OSError(errno.EISDIR, _no_file(stat.S_IFDIR))
    folder = next(each for each in file.parents if os.path.lexists(each))
    for part in file.relative_to(folder).parts:
        with suppress(FileNotFoundError):
            (folder / part).lstat()  # raises when the name is too long
    with tempfile.TemporaryFile(dir=folder):
        pass


def write_capacity(file: Path, capacity: Capacity) -> None:
    """Keeps `capacity`; everybody may read it. Raises OSError, also when `file` is a link or a device."""
    file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    _require_file_or_none(file)
    descriptor, name = tempfile.mkstemp(prefix=".capacity-", dir=file.parent)
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            out.write(json.dumps(asdict(capacity), indent=2) + "\n")
        draft.chmod(0o644)
        draft.replace(file)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def keep(file: Path, *, cpu: MeasuredCpu | None = None, gpus: MeasuredGpus | None = None) -> Capacity:
    """Puts what is given into `file`, beside what it holds already; returns what it holds then.

    A regular file that holds nothing of use is replaced. Raises OSError, also when what it holds cannot be
    read, or it is a link or a device.
    """
    file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with _alone(file.parent):
        try:
            known = read_capacity(file)
        except (FileNotFoundError, ValueError):
            known = Capacity()
        known = replace(known, cpu=cpu or known.cpu, gpus=gpus or known.gpus)
        write_capacity(file, known)
    return known


def _require_file_or_none(file: Path) -> None:
    try:
        mode = file.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, _no_file(mode))


def _no_file(mode: int) -> str:
    kinds = {stat.S_IFLNK: "a symbolic link", stat.S_IFDIR: "a directory", stat.S_IFIFO: "a named pipe"}
    return f"it is {kinds.get(stat.S_IFMT(mode), 'a device or a socket')}; allowed is a regular file, or none"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other probe reads and writes in `folder` meanwhile; waits for who does. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # ends with the descriptor, however this process ends
        yield
    finally:
        os.close(descriptor)


class CapacityFile:
    """The file as a long-lived service sees it: read again when it has changed."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen: tuple[int, int, int] | None = None
        self._known: Capacity | None = None
        self.trouble: str | None = None
        """In words why the file is of no use; None while it is, and where there is none."""

    def now(self) -> Capacity | None:
        """Returns what holds now; None when nothing was measured, or on another machine."""
        try:
            found = self._file.lstat()
        except FileNotFoundError:
            self._seen, self._known, self.trouble = None, None, None
            return None
        except OSError as error:
            self._seen, self._known, self.trouble = None, None, f"{self._file}: {error.strerror}"
            return None
        # Not the time of its content: who may read it can change, too.
        seen = (found.st_ino, found.st_ctime_ns, found.st_size)
        if seen != self._seen:
            self._seen = seen
            self._known, self.trouble = self._read()
        return self._known

    def _read(self) -> tuple[Capacity | None, str | None]:
        try:
            known = read_capacity(self._file)
        except OSError as error:
            return None, f"{self._file}: {error.strerror}"
        except ValueError as error:
            return None, f"{self._file}: {error}"
        if known.cpu is not None and known.cpu.machine != (here := Machine.here()):
            there = known.cpu.machine
            text = f"measured on another machine ({there.kind}, {there.cores} cores; here {here.kind}, "
            return None, f"{self._file}: {text}{here.cores} cores)"
        return known, None
