"""What a setting's value may be: the rules that the table of settings (`appliance.settings`) is made of."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from appliance.names import is_stream_name

if TYPE_CHECKING:
    from collections.abc import Callable

LAST_PORT: Final = 65_535
"""The highest TCP port."""

# As `appliance.media.encode.described` reads it; a test compares the two.
LEAST_SIDE: Final = 16
LEAST_FPS: Final = 1
MOST_FPS: Final = 240
_SOURCE: Final = re.compile(
    r"(?P<width>[0-9]{2,4})x(?P<height>[0-9]{2,4})@(?P<fps>[0-9]{1,3}(?:\.[0-9]{1,3})?|[0-9]{4,6}/[1-9][0-9]{3})"
)


class RefusedValueError(Exception):
    """A rule's verdict; it becomes an OperatorError that names the setting."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How one setting's value is checked: `read` returns the typed value or refuses it."""

    allowed: str
    read: Callable[[object], object]


def matching(pattern: str, allowed: str) -> Rule:
    """A text that the regular expression `pattern` matches as a whole."""
    compiled = re.compile(pattern)

    def read(value: object) -> str:
        if not isinstance(value, str) or compiled.fullmatch(value) is None:
            raise RefusedValueError
        return value

    return Rule(allowed, read)


def url(scheme: str, path: str, allowed: str) -> Rule:
    """`scheme`://HOST[:PORT] and what the regular expression `path` matches."""
    # A host name or IPv4 address, or an IPv6 address in its brackets (RFC 3986, section 3.2.2).
    host = r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])"
    compiled = re.compile(rf"{scheme}://{host}(:(?P<port>[0-9]{{1,5}}))?{path}")

    def read(value: object) -> str:
        match = compiled.fullmatch(value) if isinstance(value, str) else None
        if match is None or (match["port"] and not 1 <= int(match["port"]) <= LAST_PORT):
            raise RefusedValueError
        return match[0]

    return Rule(allowed, read)


def _callback_url() -> Rule:
    secured = url("https", r"(/[^\s?#]*)?", "")
    plain = url("http", r"(/[^\s?#]*)?", "")

    def read(value: object) -> str:
        if value == "":
            return ""
        if isinstance(value, str) and value.startswith("http://"):
            found = str(plain.read(value))
            if not _is_near(urlsplit(found).hostname or ""):
                raise RefusedValueError
        else:
            found = str(secured.read(value))
        return found.rstrip("/")

    return Rule(
        "an https:// URL without a query (http:// to localhost, a loopback or a private address), or empty",
        read,
    )


def _is_near(host: str) -> bool:
    """Whether what is sent to `host` unencrypted stays in a network of one's own."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_private


def number(low: float, high: float, unit: str) -> Rule:
    """A number from `low` to `high`; `unit` is the plural that a message names."""

    def read(value: object) -> float:
        # A YAML `yes` is a bool, and a bool is an int to Python.
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise RefusedValueError
        return float(value)

    return Rule(f"a number of {unit} from {low:.12g} to {high:.12g}", read)


def integer(low: int, high: int) -> Rule:
    """A whole number from `low` to `high`."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise RefusedValueError
        return value

    return Rule(f"a whole number from {low} to {high}", read)


def one_of(*choices: str) -> Rule:
    """One of these words. An `off` without quotes comes as YAML has it: as false (YAML 1.1, type bool)."""

    def read(value: object) -> str:
        if value is False and "off" in choices:
            return "off"
        if not isinstance(value, str) or value not in choices:
            raise RefusedValueError
        return value

    return Rule("one of " + ", ".join(choices), read)


def _read_bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise RefusedValueError
    return value


def _read_names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise RefusedValueError
    for item in value:
        if not isinstance(item, str) or not is_stream_name(item):
            raise RefusedValueError
    return tuple(value)


def _read_source(value: object) -> str:
    match = _SOURCE.fullmatch(value) if isinstance(value, str) else None
    if (
        match is None
        or min(int(match["width"]), int(match["height"])) < LEAST_SIDE
        or not LEAST_FPS <= Fraction(match["fps"]) <= MOST_FPS
    ):
        raise RefusedValueError
    return match[0]


NAMES: Final = Rule(
    "a list of quoted stream names (letters, digits, _ and -, at most 64 characters)", _read_names
)
BOOL: Final = Rule("true or false", _read_bool)
PATH: Final = matching(r"/[^\0\n]*", "an absolute path")
HTTP: Final = url("http", r"(/[^\s?#]*)?", "an http:// URL without a query, its port from 1 to 65535")
RTMP: Final = url("rtmp", r"/[A-Za-z0-9_-]+", "rtmp://HOST[:PORT]/APPLICATION, its port from 1 to 65535")
CALLBACK_URL: Final = _callback_url()
LADDER: Final = matching(
    r"[A-Za-z0-9][A-Za-z0-9_-]*", "the name of a file in /etc/appliance/ladders, without .yml"
)
DELIVERY_URL: Final = matching(
    # Whatever an inventory may name a host by.
    r"(https?://([A-Za-z0-9._-]+|\[[0-9A-Za-z:.%_-]+\])(:[0-9]{1,5})?)?",
    "https://NAME[:PORT] or http://NAME[:PORT], or empty for the kernel's name over HTTP",
)
HOST: Final = matching(r"[A-Za-z0-9.-]{0,255}", "a host name, or empty for the kernel's")
SOURCE: Final = Rule(
    f"WIDTHxHEIGHT@FPS, such as 1920x1080@30 or 1280x720@29.97: sides from {LEAST_SIDE} to 9999, "
    f"{LEAST_FPS} to {MOST_FPS} pictures a second",
    _read_source,
)
