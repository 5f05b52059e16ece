"""How many examples Hypothesis tries against running programs: a bounded number, the same ones each time."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings


def bounded(examples: int) -> settings:
    """At most so many, none shrunk: each costs requests, and the first that fails says what it asked."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
