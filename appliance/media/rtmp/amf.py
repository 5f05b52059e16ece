"""AMF0, the subset that RTMP commands and `onMetaData` use.

Source: *Action Message Format -- AMF 0* (Adobe, 2007). Numbers, booleans, strings, objects, ECMA arrays,
strict arrays, dates, null and undefined are read; numbers, booleans, strings, null and mappings are written.
References, typed objects and XML never occur in RTMP commands between an encoder and a server.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

AmfValue = None | bool | float | str | dict[str, "AmfValue"] | list["AmfValue"]
"""What one AMF0 value becomes in Python; undefined becomes None, a date its milliseconds since 1970."""

_NUMBER: Final = 0x00
_BOOLEAN: Final = 0x01
_STRING: Final = 0x02
_OBJECT: Final = 0x03
_NULL: Final = 0x05
_UNDEFINED: Final = 0x06
_ECMA_ARRAY: Final = 0x08
_OBJECT_END: Final = 0x09
_STRICT_ARRAY: Final = 0x0A
_DATE: Final = 0x0B
_LONG_STRING: Final = 0x0C

MAX_DEPTH: Final = 16
"""Deepest nesting that is read: a hostile peer must not exhaust the stack."""


class AmfError(ValueError):
    """The bytes are not the AMF0 that this module reads."""


def encode(*values: AmfValue) -> bytes:
    """Returns `values`, one after the other, as AMF0. Mappings become anonymous objects.

    Raises TypeError for lists, which no RTMP client command carries.
    """
    out = bytearray()
    for value in values:
        _encode(value, out)
    return bytes(out)


def encode_ecma_array(entries: Mapping[str, AmfValue]) -> bytes:
    """Returns `entries` as an ECMA array (section 2.10), the form FLV's `onMetaData` has."""
    out = bytearray(struct.pack(">BI", _ECMA_ARRAY, len(entries)))
    _encode_members(entries, out)
    return bytes(out)


def decode(data: bytes) -> list[AmfValue]:
    """Returns every value in `data`.

    Raises AmfError when a value is cut off, of a kind that is not read here, or nested deeper than MAX_DEPTH.
    """
    reader = _Reader(data)
    values: list[AmfValue] = []
    while reader.position < len(data):
        values.append(reader.value(0))
    return values


def _encode(value: AmfValue, out: bytearray) -> None:
    if value is None:
        out.append(_NULL)
    elif isinstance(value, bool):
        out += bytes((_BOOLEAN, value))
    elif isinstance(value, int | float):
        out += struct.pack(">Bd", _NUMBER, value)
    elif isinstance(value, str):
        text = value.encode()
        out += (
            struct.pack(">BH", _STRING, len(text))
            if len(text) < 0x10000
            else (struct.pack(">BI", _LONG_STRING, len(text)))
        )
        out += text
    elif isinstance(value, dict):
        out.append(_OBJECT)
        _encode_members(value, out)
    else:
        raise TypeError(f"{type(value).__name__} is not written as AMF0")


def _encode_members(entries: Mapping[str, AmfValue], out: bytearray) -> None:
    for name, value in entries.items():
        text = name.encode()
        out += struct.pack(">H", len(text)) + text
        _encode(value, out)
    out += bytes((0, 0, _OBJECT_END))


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def value(self, depth: int) -> AmfValue:
        if depth > MAX_DEPTH:
            raise AmfError(f"AMF0 nested deeper than {MAX_DEPTH}")
        kind = self._take(1)[0]
        if kind == _NUMBER:
            return self._number()
        if kind == _BOOLEAN:
            return self._take(1) != b"\0"
        if kind == _STRING:
            return self._text(2)
        if kind == _LONG_STRING:
            return self._text(4)
        if kind in {_NULL, _UNDEFINED}:
            return None
        return self._compound(kind, depth)

    def _compound(self, kind: int, depth: int) -> AmfValue:
        if kind == _OBJECT:
            return self._members(depth)
        if kind == _ECMA_ARRAY:
            self._take(4)  # the count is a hint; the end marker decides (section 2.10)
            return self._members(depth)
        if kind == _STRICT_ARRAY:
            count = int.from_bytes(self._take(4))
            if count > len(self._data):
                raise AmfError(f"AMF0 array of {count} values in {len(self._data)} bytes")
            return [self.value(depth + 1) for _ in range(count)]
        if kind == _DATE:
            moment = self._number()
            self._take(2)  # time zone, reserved (section 2.13)
            return moment
        raise AmfError(f"AMF0 type 0x{kind:02x} is not supported")

    def _members(self, depth: int) -> dict[str, AmfValue]:
        members: dict[str, AmfValue] = {}
        while True:
            name = self._text(2)
            if not name and self._data[self.position : self.position + 1] == bytes((_OBJECT_END,)):
                self.position += 1
                return members
            members[name] = self.value(depth + 1)

    def _number(self) -> float:
        number: float = struct.unpack(">d", self._take(8))[0]
        return number

    def _text(self, length_bytes: int) -> str:
        # Encoders put Latin-1 titles into metadata; a broken letter must not end a stream.
        return self._take(int.from_bytes(self._take(length_bytes))).decode(errors="replace")

    def _take(self, count: int) -> bytes:
        end = self.position + count
        if end > len(self._data):
            raise AmfError(f"AMF0 cut off at byte {self.position}")
        taken = self._data[self.position : end]
        self.position = end
        return taken
