"""Ladders of renditions as data: the strict loader of `files/ladders/*.yml`.

Which rungs a source gets is `appliance.media.encode.rungs`'s question.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import yaml

from appliance.errors import EX_CONFIG, OperatorError
from appliance.media.package.rendition import AUDIO_RENDITION, RENDITION_NAME
from appliance.names import shorten
from appliance.program import program

if TYPE_CHECKING:
    from collections.abc import Mapping

EncoderFamily = Literal["nvenc", "x264"]
FAMILIES: Final[tuple[EncoderFamily, ...]] = get_args(EncoderFamily)

LADDERS_DIRECTORY: Final = Path("/etc/appliance/ladders")
_CHECKOUT_LADDERS: Final = Path(__file__).resolve().parents[3] / "files" / "ladders"

_OPTION: Final = re.compile(r"[a-z][a-z0-9_-]*\Z")
_OPTION_VALUE: Final = re.compile(r"[A-Za-z0-9_.:=+,/-]+\Z")
# What the command line sets itself; a second value would break alignment, pipes or bitrates.
_OWN_OPTIONS: Final = frozenset(
    {"b", "maxrate", "bufsize", "c", "codec", "f", "map", "vf", "filter", "r", "g", "bf", "preset",
     "movflags", "force_key_frames", "forced-idr", "sc_threshold", "fps_mode", "vsync", "i", "copyts"}
)  # fmt: skip
_RUNG_KEYS: Final = ("name", "width", "height", "fps", "video_kbps", "peak_kbps", "audio_kbps", "encoders")
_REQUIRED: Final = ("name", "width", "height", "fps", "video_kbps", "audio_kbps")
# (lowest, highest) of each number; 4.2 is the largest level of H.264 that every phone decodes, 6.2 the last
# one.
_LIMITS: Final = {
    "width": (16, 8192),
    "height": (16, 8192),
    "fps": (1, 240),
    "video_kbps": (50, 200_000),
    "peak_kbps": (50, 400_000),
    "audio_kbps": (32, 512),
}
_MOST_RUNGS: Final = 8


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """How one encoder family is run: its preset, and options as FFmpeg names them."""

    preset: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rung:
    """One rendition as the file states it: pixels, frames per second, 1000 bits per second."""

    name: str
    width: int
    height: int
    fps: float
    video_kbps: int
    peak_kbps: int
    audio_kbps: int
    encoders: Mapping[EncoderFamily, EncoderSettings]


@dataclass(frozen=True, slots=True)
class Ladder:
    """Rungs from the largest picture to the smallest."""

    name: str
    rungs: tuple[Rung, ...]


def ladder_path(name: str) -> Path:
    """Where the ladder `name` stands: on a host below /etc, in a checkout below `files/ladders`."""
    installed = LADDERS_DIRECTORY / f"{name}.yml"
    beside = _CHECKOUT_LADDERS / f"{name}.yml"
    return beside if beside.exists() and not installed.exists() else installed


def load_ladder(path: Path) -> Ladder:
    """Reads and checks the ladder file `path`; its name is the file's.

    Raises OperatorError (EX_CONFIG) naming file, rung, key, value and what is allowed.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        others = ", ".join(sorted(found.stem for found in path.parent.glob("*.yml"))) or "none"
        raise _refusal(path, f"cannot be read: {error.strerror}; ladders beside it: {others}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _refusal(path, f"is not valid YAML: {' '.join(str(error).split())}") from None
    except ValueError as error:
        # PyYAML lets through what int() and date() say of a scalar that only looks like theirs.
        raise _refusal(path, f"holds a value that is none: {error}; quote it") from None
    except (AttributeError, KeyError):  # so it does for `!!timestamp x` and `!!bool x`
        raise _refusal(path, "holds a value that its !!tag does not fit") from None
    except RecursionError:
        raise _refusal(path, "is nested too deeply") from None
    return parse_ladder(data, path)


def parse_ladder(data: object, path: Path) -> Ladder:
    """Checks `data`, the YAML of `path`. Raises OperatorError as `load_ladder` does."""
    reader = _LadderReader(path)
    top = reader.mapping(data, "the file", ("encoders", "rungs"))
    shared = reader.encoders(top.get("encoders", {}), "encoders", {})
    entries = top.get("rungs")
    if not isinstance(entries, list) or not 1 <= len(entries) <= _MOST_RUNGS:
        raise _refusal(
            path, f"rungs: {shorten(str(entries))} is refused; allowed is a list of 1 to {_MOST_RUNGS}"
        )
    rungs = [reader.rung(entry, f"rung {number}", shared) for number, entry in enumerate(entries, 1)]
    for above, below in pairwise(rungs):
        if above.width * above.height <= below.width * below.height:
            raise _refusal(
                path, f"rung {below.name} is not smaller than {above.name}; allowed is largest first"
            )
    names = [rung.name for rung in rungs]
    for name in names:
        if names.count(name) > 1:
            raise _refusal(path, f"the name {name} stands at two rungs; allowed is one each")
    return Ladder(path.stem, tuple(rungs))


class _LadderReader:
    def __init__(self, path: Path) -> None:
        self._path = path

    def mapping(self, value: object, place: str, keys: tuple[str, ...]) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _refusal(
                self._path, f"{place}: {shorten(str(value))} is refused; allowed are keys with values"
            )
        for key in value:
            if key not in keys:
                raise _refusal(
                    self._path, f"{place}: unknown key {shorten(str(key))}; allowed: {', '.join(keys)}"
                )
        return value

    def rung(self, entry: object, place: str, shared: Mapping[EncoderFamily, EncoderSettings]) -> Rung:
        values = self.mapping(entry, place, _RUNG_KEYS)
        for key in _REQUIRED:
            if key not in values:
                raise _refusal(self._path, f"{place}: {key} is missing")
        name = values["name"]
        if not isinstance(name, str) or re.fullmatch(RENDITION_NAME, name) is None or name == AUDIO_RENDITION:
            raise _refusal(
                self._path,
                f"{place}: name {shorten(str(name))} is refused; allowed are lower-case letters, digits and "
                "hyphens, and not `audio`, which names the audio rendition",
            )
        place = f"rung {name}"
        numbers = {key: self._number(values[key], place, key) for key in _LIMITS if key in values}
        for key in ("width", "height"):
            if numbers[key] % 2:
                raise _refusal(
                    self._path, f"{place}: {key} {numbers[key]:g} is refused; allowed are even numbers"
                )
        video = int(numbers["video_kbps"])
        peak = int(numbers.get("peak_kbps", video * 1.1))
        if peak < video:
            raise _refusal(self._path, f"{place}: peak_kbps {peak} is refused; allowed is at least {video}")
        encoders = self.encoders(values.get("encoders", {}), f"{place}: encoders", shared)
        return Rung(
            name=name,
            width=int(numbers["width"]),
            height=int(numbers["height"]),
            fps=numbers["fps"],
            video_kbps=video,
            peak_kbps=peak,
            audio_kbps=int(numbers["audio_kbps"]),
            encoders=encoders,
        )

    def encoders(
        self, value: object, place: str, base: Mapping[EncoderFamily, EncoderSettings]
    ) -> dict[EncoderFamily, EncoderSettings]:
        given = self.mapping(value, place, FAMILIES)
        settings = dict(base)
        for family in FAMILIES:
            if family not in given:
                settings.setdefault(family, _DEFAULTS[family])
                continue
            entry = self.mapping(given[family], f"{place}: {family}", ("preset", "options"))
            before = settings.get(family, _DEFAULTS[family])
            options = self.mapping_of_options(entry.get("options", {}), f"{place}: {family}: options")
            preset = str(entry.get("preset", before.preset))
            if _OPTION_VALUE.match(preset) is None:
                raise _refusal(self._path, f"{place}: {family}: preset {shorten(preset)} is refused")
            settings[family] = EncoderSettings(preset, {**before.options, **options})
        return settings

    def mapping_of_options(self, value: object, place: str) -> dict[str, str]:
        if not isinstance(value, dict):
            raise _refusal(
                self._path, f"{place}: {shorten(str(value))} is refused; allowed are keys with values"
            )
        for key, setting in value.items():
            if not isinstance(key, str) or _OPTION.match(key) is None or key in _OWN_OPTIONS:
                raise _refusal(
                    self._path,
                    f"{place}: {shorten(str(key))} is refused; allowed are the encoder's own options, not "
                    "what the rung and the appliance set themselves",
                )
            if not isinstance(setting, str | int | float) or _OPTION_VALUE.match(str(setting)) is None:
                raise _refusal(
                    self._path, f"{place}: {key}: {shorten(str(setting))} is refused; allowed is one word"
                )
        return {
            key: str(int(setting) if isinstance(setting, bool) else setting) for key, setting in value.items()
        }

    def _number(self, value: object, place: str, key: str) -> float:
        low, high = _LIMITS[key]
        whole = key != "fps"
        if (
            isinstance(value, bool)
            or not isinstance(value, int if whole else int | float)
            or not low <= value <= high
        ):
            kind = "a whole number" if whole else "a number"
            raise _refusal(
                self._path,
                f"{place}: {key} {shorten(str(value))} is refused; allowed is {kind} from {low} to {high}",
            )
        return float(value)


_DEFAULTS: Final[Mapping[EncoderFamily, EncoderSettings]] = {
    "nvenc": EncoderSettings("p4"),
    "x264": EncoderSettings("veryfast"),
}


def _refusal(path: Path, message: str) -> OperatorError:
    return OperatorError(
        f"{path}: {message}",
        exit_code=EX_CONFIG,
        hint=f"mend it, then try: {program()} ladder show --ladder {path}",
    )
