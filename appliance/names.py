"""Names that travel from an encoder's URL into units, paths and URLs.

A stream's name becomes the instance of a systemd unit (`stream@NAME.service`), a directory below the
media root and a part of every URL, so it is held to one narrow pattern everywhere and parsed here only.
"""

from __future__ import annotations

import re
from typing import Final, NewType

StreamName = NewType("StreamName", str)
"""A text that has passed `parse_stream_name`; functions that build paths or units ask for this type."""

STREAM_NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
"""The pattern as operators see it: no dot, slash, space, percent sign or leading hyphen."""

APPLICATION: Final = "live"
"""The only RTMP application that encoders may publish to."""

# `\Z` and ASCII: `$` would let a trailing newline through, and `[A-Za-z]` alone is ASCII already.
_STREAM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z", re.ASCII)


class InvalidStreamNameError(ValueError):
    """The text is not a stream name. Its message names the text and the pattern."""

    def __init__(self, text: str) -> None:
        super().__init__(f"{shorten(text)} is not a stream name; allowed is {STREAM_NAME_PATTERN}")
        self.text = text


def parse_stream_name(text: str) -> StreamName:
    """Returns `text` as a stream name.

    Raises InvalidStreamNameError when it does not match STREAM_NAME_PATTERN.
    """
    if _STREAM_NAME.match(text) is None:
        raise InvalidStreamNameError(text)
    return StreamName(text)


def is_stream_name(text: str) -> bool:
    """Whether `parse_stream_name` accepts `text`."""
    return _STREAM_NAME.match(text) is not None


def stream_unit(stream: StreamName) -> str:
    """The systemd unit that carries one live stream.

    No escaping is needed (systemd.unit(5), "String escaping for inclusion in unit names"): a hyphen in an
    instance name means `/` only for the specifier `%I`, and our units use `%i`.
    """
    return f"stream@{stream}.service"


def rotation_unit(stream: StreamName) -> str:
    """The systemd unit that has one live stream change its content key."""
    return f"appliance-rotate-content-key@{stream}.service"


def shorten(text: str, limit: int = 80) -> str:
    """A printable, quoted form of an untrusted text for messages, at most `limit` characters."""
    shown = ascii(text)
    return shown if len(shown) <= limit else f"{shown[: limit - 4]}...'"
