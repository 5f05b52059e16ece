"""A short name for a text that must not be kept or shown itself."""

from __future__ import annotations

import hashlib


def digest(text: str) -> str:
    """Returns 32 digits that stand for `text`: the first half of its SHA-256 (FIPS 180-4), in base 16."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
