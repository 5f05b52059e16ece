"""The rules for a test's patience: what is true for minutes is true for seconds.

Waiting for each alert as the rules have it would take hours: most wait for one to ten minutes, and look back
for as long, which is how long they take to be over. What this suite asks is whether the host's own figures
lead to the alert and away from it, and that does not depend on how long: of the copy it installs, nothing but
`for:` and the windows behind series is shortened. The real durations are looked at with made-up series
(`tests/integration/monitoring/test_rules.py`).
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from tests.support.expressions import RULES

SCRAPE_SECONDS = 5
"""The least that the role takes."""

FOR_SECONDS = SCRAPE_SECONDS
"""Two looks in a row."""

WINDOW_SECONDS = 6 * SCRAPE_SECONDS
"""Rates need two samples in it, and a busy machine is late with some."""

_WINDOW = re.compile(r"\[\d+[smhd]\]")


def shortened(text: str | None = None) -> str:
    """Return the rules with short waits and windows."""
    document: dict[str, Any] = yaml.safe_load(RULES.read_text() if text is None else text)
    for group in document["groups"]:
        for rule in group["rules"]:
            rule["expr"] = _WINDOW.sub(f"[{WINDOW_SECONDS}s]", rule["expr"])
            if "for" in rule:
                rule["for"] = f"{FOR_SECONDS}s"
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
