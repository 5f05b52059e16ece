"""What the firewall lets in: the rules in the kernel, ours and others'."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

from appliance.ops.doctor.finding import Finding, critical, warning
from appliance.ops.doctor.network import wanted_ports
from appliance.ops.doctor.units import FIREWALL_UNIT, NEEDED, ask_units

if TYPE_CHECKING:
    from appliance.ops.doctor.host import Host
    from appliance.ops.doctor.network import Port

_VERDICTS: Final = ("accept", "drop", "reject")
_ALWAYS: Final = frozenset({*_VERDICTS, "counter", "log", "comment"})
"""Statements that a rule may have and still be for every connection that it matches."""


async def firewall(host: Host) -> list[Finding]:
    """The rules that let in what is served are loaded, and no others keep it out."""
    try:
        text = await asyncio.to_thread(host.firewall_file.read_text)
    except OSError as error:
        why = "nobody knows what the host lets in"
        mend = "run playbooks/site.yml again"
        return [warning(f"{host.firewall_file} cannot be read", error.strerror or "?", why, mend)]
    rules, found = await asyncio.gather(host.run("nft", "-j", "list", "ruleset"), ask_units(host))
    if rules.status:
        return [
            warning("nft does not answer", rules.said, "it cannot be seen what is let in", "nft list ruleset")
        ]
    enabled = "chain input" in text
    unit = found.get(FIREWALL_UNIT)
    findings = judge_ruleset(
        rules.text, [port for port in wanted_ports(host) if port.public], enabled=enabled
    )
    if unit is not None and not unit.runs and not findings and enabled:
        seen = f"{FIREWALL_UNIT} is {unit.text('ActiveState')}"
        why = "its rules are gone with the next boot"
        findings.append(
            warning("the firewall's unit does not run", seen, why, f"systemctl start {FIREWALL_UNIT}")
        )
    return findings


def judge_ruleset(ruleset: str, ports: list[Port], *, enabled: bool) -> list[Finding]:
    """`ruleset` as `nft -j list ruleset` prints it (libnftables-json(5)); `enabled`: ours is to be loaded."""
    entries: list[dict[str, Any]] = json.loads(ruleset).get("nftables", [])
    chains = [entry["chain"] for entry in entries if entry.get("chain", {}).get("hook") == "input"]
    rules = [entry["rule"] for entry in entries if "rule" in entry]
    reload = f"systemctl reload-or-restart {FIREWALL_UNIT}"
    findings = []
    if enabled and not any(chain["table"] == "appliance" for chain in chains):
        findings.append(
            warning(
                "the firewall is not loaded",
                "no table inet appliance in the kernel",
                "every port of the host is open to everybody",
                reload,
            )
        )
    for chain in chains:
        own = [rule for rule in rules if _place(rule) == (chain["family"], chain["table"], chain["name"])]
        for port in ports:
            if _verdict(own, chain.get("policy", "accept"), port.number) in {"drop", "reject"}:
                whose = f"{chain['family']} {chain['table']} {chain['name']}"
                ours = chain["table"] == "appliance"
                findings.append(
                    critical(
                        f"the firewall keeps port {port.number} closed",
                        f"chain {whose} lets no new connection to it in",
                        NEEDED[port.unit],
                        reload if ours else f"nft list chain {whose}; let it in, or remove the table",
                    )
                )
    return findings


def _place(rule: dict[str, Any]) -> tuple[str, str, str]:
    return str(rule["family"]), str(rule["table"]), str(rule["chain"])


def _verdict(rules: list[dict[str, Any]], policy: str, port: int) -> str:
    """What becomes of a new connection to `port` from anywhere.

    The first rule that is about nothing but TCP and its port decides, else the policy. Rules with other
    conditions are for some connections only.
    """
    for rule in rules:
        verdict, about = "", True
        for statement in rule.get("expr", []):
            if "match" in statement:
                about = about and _matches(statement["match"], port)
            elif not _ALWAYS & statement.keys():
                about = False  # a rate, a count, a set: not for every connection
            verdict = next((word for word in _VERDICTS if word in statement), verdict)
        if verdict and about:
            return verdict
    return policy


def _matches(match: dict[str, Any], port: int) -> bool:
    left, right = match.get("left", {}), match.get("right")
    if match.get("op") not in {"==", "in"} or not isinstance(left, dict):
        return False
    if left.get("meta", {}).get("key") == "l4proto":
        return _holds(right, "tcp")
    if left.get("ct", {}).get("key") == "state":
        return _holds(right, "new")
    payload = left.get("payload", {})
    return (
        payload.get("protocol") in {"tcp", "th"} and payload.get("field") == "dport" and _holds(right, port)
    )


def _holds(right: object, value: object) -> bool:
    """Whether `value` is the right side of a match, or in its set or range."""
    if isinstance(right, list):
        return value in right
    if isinstance(right, dict):
        if "set" in right:
            return any(_holds(item, value) for item in right["set"])
        if "range" in right and isinstance(value, int):
            low, high = right["range"]
            return bool(low <= value <= high)
    return right == value
