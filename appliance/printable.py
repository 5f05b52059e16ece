"""Texts of strangers, fit for a terminal: nothing is left that it would obey (ECMA-48, section 5)."""

from __future__ import annotations


def visible(text: str, *, keep: str = "") -> str:
    """`text` with a question mark for each letter that is not printable, but those in `keep`."""
    return "".join(letter if letter.isprintable() or letter in keep else "?" for letter in text)


def printable(text: str) -> str:
    """`text` on one line, runs of blanks as one, and visible."""
    return visible(" ".join(text.split()))
