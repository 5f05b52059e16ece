"""Times as `status.json` has them."""

from __future__ import annotations

from datetime import UTC, datetime


def iso(unix: float) -> str:
    """`unix` seconds in ISO 8601, UTC, to the millisecond."""
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds")
