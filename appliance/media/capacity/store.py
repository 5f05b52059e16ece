"""The capacity file: what the probes have measured, which machine it holds for, and what made it.

Written whole or not at all. What is not of this form is refused as a whole: a wrong figure would let in
streams that stutter, or keep out streams that would not.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from appliance.media.capacity.figures import CpuFigures, GpuFigures
from appliance.media.capacity.machine import Machine
from appliance.media.plain_file import read_plain

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


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredGpus:
    """What the GPUs carry."""

    __pydantic_config__ = _STRICT

    made: MadeWith
    driver: str
    gpus: tuple[GpuFigures, ...]


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
    """Returns what `file` holds. Raises FileNotFoundError, and ValueError when it is none or unreadable."""
    if (data := read_plain(file, largest=_LARGEST)) is not None:
        return parse_capacity(data)
    file.lstat()
    raise ValueError("it cannot be read")


def write_capacity(file: Path, capacity: Capacity) -> None:
    """Keeps `capacity`; everybody may read it. Raises OSError."""
    file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.new")
    draft.write_text(json.dumps(asdict(capacity), indent=2) + "\n", encoding="utf-8")
    draft.chmod(0o644)
    draft.replace(file)


def keep(file: Path, *, cpu: MeasuredCpu | None = None, gpus: MeasuredGpus | None = None) -> Capacity:
    """Puts what is given into `file`, beside what it holds already; returns what it holds then.

    A file that holds nothing of use is replaced. Raises OSError.
    """
    try:
        known = read_capacity(file)
    except (FileNotFoundError, ValueError):
        known = Capacity()
    known = replace(known, cpu=cpu or known.cpu, gpus=gpus or known.gpus)
    write_capacity(file, known)
    return known


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
            found = self._file.stat()
            seen = (found.st_ino, found.st_mtime_ns, found.st_size)
        except OSError:
            self._seen, self._known, self.trouble = None, None, None
            return None
        if seen != self._seen:
            self._seen = seen
            self._known, self.trouble = self._read()
        return self._known

    def _read(self) -> tuple[Capacity | None, str | None]:
        try:
            known = read_capacity(self._file)
        except (OSError, ValueError) as error:
            return None, f"{self._file}: {error}"
        if known.cpu is not None and known.cpu.machine != (here := Machine.here()):
            there = known.cpu.machine
            text = f"measured on another machine ({there.kind}, {there.cores} cores; here {here.kind}, "
            return None, f"{self._file}: {text}{here.cores} cores)"
        return known, None
