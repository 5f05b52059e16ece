"""A second run finds what the first has written: nothing is in an order that changes from run to run."""

from __future__ import annotations

import re
from pathlib import Path

TOP = Path(__file__).resolve().parents[3]
# These filters of ansible.builtin make sets of lists, and strings hash anew in each process.
UNORDERED = re.compile(r"\| *(difference|intersect|symmetric_difference|union)\b")
IN_NO_ORDER = re.compile(r"\| *(length|sort)\b")


def test_what_filters_of_sets_give_is_sorted_or_counted() -> None:
    files = [path for part in ("roles", "playbooks") for path in (TOP / part).rglob("*") if path.is_file()]
    texts = {path: path.read_text(errors="replace").splitlines() for path in files}
    found = [
        f"{path.relative_to(TOP)}:{number}"
        for path, lines in texts.items()
        for number, line in enumerate(lines, 1)
        if (match := UNORDERED.search(line)) and not IN_NO_ORDER.search(line, match.end())
    ]
    assert files
    assert found == []
