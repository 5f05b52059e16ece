"""Times as secrets, tokens and keys have them: ISO 8601 with its zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def moment(text: object) -> datetime | None:
    """The time that `text` (ISO 8601) spells, with its zone; None when it spells none."""
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


def holds(ends: datetime | None, now: datetime) -> bool:
    """Whether what ends at `ends` (None: never) still holds at `now`."""
    return ends is None or now < ends


def is_over(ends: str | None, now: datetime | None = None) -> bool:
    """Whether the ISO 8601 time `ends` is reached (None: never); what is no time is over."""
    return ends is not None and (
        (found := moment(ends)) is None or not holds(found, now or datetime.now(UTC))
    )


def after(earlier: datetime | None, now: datetime) -> datetime:
    """`now`, as the time of what follows on `earlier`.

    A clock that was set back must not make the later one look like the earlier one.
    """
    return now if earlier is None else max(now, earlier + timedelta(milliseconds=1))


def version_of(created: datetime | None) -> int:
    """The time as a version that grows: whole milliseconds since 1970; 0 without a time."""
    return 0 if created is None else round(created.timestamp() * 1000)
