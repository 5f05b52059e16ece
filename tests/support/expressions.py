"""What the rules and dashboards ask Prometheus for."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

TOP = Path(__file__).resolve().parents[2]
RULES = TOP / "files/prometheus/streaming.rules.yml"
DASHBOARDS = sorted((TOP / "files/grafana/dashboards").glob("*.json"))

_SELECTOR = re.compile(r'(?<![\w.])([a-z_][\w:]*)(\{(?:[^}"]|"[^"]*")*\})?(?!\w*\s*\()', re.IGNORECASE)
_WORDS = {"by", "on", "and", "or", "unless", "without", "ignoring"}


def alerts() -> dict[str, dict[str, Any]]:
    """Return the alert rules by name."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def in_rules() -> dict[str, list[str]]:
    """Return the rules' expressions by the rule's name."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {
        rule.get("alert") or rule["record"]: [rule["expr"]] for group in groups for rule in group["rules"]
    }


def in_panels() -> dict[str, list[str]]:
    """Return the panels' expressions by dashboard and title, for all hosts and streams."""
    found: dict[str, list[str]] = {}
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            found.setdefault(f"{path.stem}: {panel['title']}", []).extend(
                re.sub(r"\$(instance|stream)", ".+", target["expr"]) for target in panel["targets"]
            )
    return found


def asked_for() -> dict[str, list[str]]:
    """Return the expressions of both."""
    return in_rules() | in_panels()


def selectors_in(expression: str) -> set[str]:
    """Return the series that an expression asks for, as it does: the name and the labels."""
    bare = re.sub(r"\b(by|on|without|ignoring)\s*\([^)]*\)|\[[^]]*\]", " ", expression)
    return {name + (labels or "") for name, labels in _SELECTOR.findall(bare)} - _WORDS


def names_in(expression: str) -> set[str]:
    """Return the names of the series that an expression asks for."""
    return {selector.partition("{")[0] for selector in selectors_in(expression)} - {"ALERTS"}
