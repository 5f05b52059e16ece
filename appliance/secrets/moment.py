"""Times as the files of secrets write them."""

from __future__ import annotations

from datetime import datetime


def moment(text: object) -> datetime | None:
    """The time that `text` (ISO 8601) spells, with its zone; None when it spells none."""
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None
