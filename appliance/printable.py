"""Texts of strangers, fit for a terminal: nothing is left that it would obey (ECMA-48, section 5)."""

from __future__ import annotations


def printable(text: str, *, keep: str = "") -> str:
    """`text` with a question mark for each letter that is not printable, but those in `keep`."""
    return "".join(letter if letter.isprintable() or letter in keep else "?" for letter in text)


def one_line(text: str) -> str:
    """`text` on one line, its blanks as one each, and printable."""
    return printable(" ".join(text.split()))
