"""What the firewall lets in: the rules in the kernel, ours and others'."""

from __future__ import annotations

import asyncio
import enum
import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from appliance.health.finding import Finding, critical, warning
from appliance.ops.doctor.network import wanted_ports
from appliance.ops.doctor.units import FIREWALL_UNIT, NEEDED, ask_units

if TYPE_CHECKING:
    from appliance.ops.doctor.host import Host
    from appliance.ops.doctor.network import Port

_VERDICTS: Final = frozenset({"accept", "drop", "reject", "queue", "return", "jump", "goto", "vmap"})
_ALWAYS: Final = frozenset({"counter", "log", "comment", "mangle", "notrack"})
"""Statements that a rule may have and still be for every connection that it matches."""
_BOUNDS: Final = frozenset({"limit", "ct count", "quota", "meter", "set"})
"""Statements by which a rule is for the connections below, or above, some number."""
_OTHERS: Final = frozenset({"udp", "udplite", "icmp", "icmpv6", "igmp", "sctp", "dccp", "esp", "ah"})
"""Protocols beside TCP."""
_DEEPEST: Final = 16
"""Chains that jump to one another (the kernel's own bound is 16)."""

_THROUGH: Final = ""
"""What a chain says of a connection that it says nothing of."""
_ANYTHING: Final = frozenset({"accept", "drop"})


class _For(enum.IntEnum):
    """Which of the new connections to a port a rule, or one condition of it, is for; the strongest counts."""

    ALL = 0
    BOUNDED = 1
    """For those within some number: such a rule lets in, and keeps nobody out whom it was not meant for."""
    UNKNOWN = 2
    FEW = 3
    """Those of some addresses, or of some state: it says nothing of all others."""
    NONE = 4


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
    rules: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for rule in (entry["rule"] for entry in entries if "rule" in entry):
        rules[str(rule["family"]), str(rule["table"]), str(rule["chain"])].append(rule)
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
        whose = f"{chain['family']} {chain['table']} {chain['name']}"
        ours = chain["table"] == "appliance"
        place = [chain["family"], chain["table"]]
        own = {name: found for (*table, name), found in rules.items() if table == place}
        for port in ports:
            ends = _Table(own, port.number).ends(chain["name"])
            ends = frozenset(chain.get("policy", "accept") if end == _THROUGH else end for end in ends)
            if ends == _ANYTHING:
                findings.append(
                    warning(
                        f"it cannot be told whether the firewall lets in port {port.number}",
                        f"chain {whose} decides by what is not known here",
                        f"if it does not: {NEEDED[port.unit]}",
                        f"try it from elsewhere: nc -vz HOST {port.number}; see: nft list ruleset",
                    )
                )
            elif ends == {"drop"}:
                findings.append(
                    critical(
                        f"the firewall keeps port {port.number} closed",
                        f"chain {whose} lets no new connection to it in",
                        NEEDED[port.unit],
                        reload if ours else f"nft list chain {whose}; let it in, or remove the table",
                    )
                )
    return findings


class _Table:
    """The chains of one table, as a new TCP connection to `port` from outside goes through them."""

    def __init__(self, chains: dict[str, list[dict[str, Any]]], port: int) -> None:
        self._chains = chains
        self._port = port

    def ends(self, name: str, depth: int = 0) -> frozenset[str]:
        """What may become of it in a chain: `accept`, `drop`, or that it comes out at the end (_THROUGH).

        More than one where it cannot be told. Rules for some addresses are left out: they are about few.
        """
        if depth > _DEEPEST:
            return _ANYTHING
        possible: set[str] = set()
        for rule in self._chains.get(name, ()):
            statements = rule.get("expr", [])
            whom = max((self._whom(statement) for statement in statements), default=_For.ALL)
            if whom in {_For.FEW, _For.NONE}:
                continue
            found, goes_on = self._rule(statements, depth)
            if whom is _For.BOUNDED:
                found &= {"accept"}
            possible |= found
            if whom is _For.ALL and not goes_on:
                return frozenset(possible)
        return frozenset({*possible, _THROUGH})

    def _rule(self, statements: list[dict[str, Any]], depth: int) -> tuple[set[str], bool]:
        """The ends of a rule for what it matches, and whether the next rule may be asked."""
        for statement in statements:
            if "vmap" in statement:
                return self._of_map(statement["vmap"], depth)
            if _VERDICTS & statement.keys():
                return self._of_verdict(statement, depth)
        return set(), True

    def _of_verdict(self, statement: dict[str, Any], depth: int) -> tuple[set[str], bool]:
        for word in ("jump", "goto"):
            if word in statement:
                ends = set(self.ends(statement[word]["target"], depth + 1))
                # From a chain that was gone to, the way leads behind the one that went, not back into it.
                return (ends - {_THROUGH}, _THROUGH in ends) if word == "jump" else (ends, False)
        if "queue" in statement:
            return {*_ANYTHING}, False
        if "return" in statement:
            return {_THROUGH}, False
        if "continue" in statement:
            return set(), True
        return {"accept" if "accept" in statement else "drop"}, False

    def _of_map(self, given: dict[str, Any], depth: int) -> tuple[set[str], bool]:
        """A verdict map that stands in the rule and goes by port, protocol or state; else nobody can tell."""
        value = self._value(given.get("key"))
        listed = given.get("data")
        if value is None or not isinstance(listed, dict) or not isinstance(listed.get("set"), list):
            return {*_ANYTHING}, False
        for key, verdict in listed["set"]:
            if _holds(key, value):
                return self._of_verdict(verdict, depth)
        return set(), True

    def _value(self, left: object) -> object:
        """What stands in such a connection where `left` looks; None where that is not known."""
        if not isinstance(left, dict):
            return None
        payload = left.get("payload", {})
        where = (payload.get("protocol"), payload.get("field"))
        if where in {("tcp", "dport"), ("th", "dport")}:
            return self._port
        if where in {("ip", "protocol"), ("ip6", "nexthdr")} or left.get("meta", {}).get("key") == "l4proto":
            return "tcp"
        return "new" if left.get("ct", {}).get("key") == "state" else None

    def _whom(self, statement: dict[str, Any]) -> _For:
        """Whom one statement of a rule restricts it to."""
        if "match" in statement:
            return self._matches(statement["match"])
        if _BOUNDS & statement.keys():
            return _For.BOUNDED
        return _For.ALL if (_ALWAYS | _VERDICTS | {"continue"}) & statement.keys() else _For.UNKNOWN

    def _matches(self, match: dict[str, Any]) -> _For:
        left, right, op = match.get("left", {}), match.get("right"), match.get("op")
        known = op in {"==", "in", "!="}
        value = self._value(left)
        if value is None:
            return _of_others(left, right, is_it=known and op != "!=")
        if not known or (isinstance(right, str) and right.startswith("@")):
            return _For.UNKNOWN
        return _For.ALL if _holds(right, value) is (op != "!=") else _For.NONE


def _of_others(left: object, right: object, *, is_it: bool) -> _For:
    """Whom a condition is for by which such connections may differ; `is_it`: `left` is to be `right`."""
    if not isinstance(left, dict):
        return _For.UNKNOWN
    masked = left.get("&")
    inner = masked[0] if isinstance(masked, list) and masked and isinstance(masked[0], dict) else left
    if inner.get("payload", {}).get("field") == "flags":
        return _For.BOUNDED  # what begins no connection is what such rules keep out
    payload = left.get("payload", {})
    local = left.get("meta", {}).get("key") in {"iif", "iifname"} and right == "lo"
    if payload.get("protocol") in _OTHERS or (local and is_it):
        return _For.NONE
    few = payload.get("field") == "saddr" or left.get("ct", {}).get("key") == "status"
    return _For.FEW if few and is_it else _For.UNKNOWN


def _holds(right: object, value: object) -> bool:
    """Whether `value` is the right side of a match, or in its set or range."""
    if isinstance(right, list):
        return value in right
    if isinstance(right, dict):
        if "set" in right:
            return any(_holds(item, value) for item in right["set"])
        if "elem" in right:  # with a comment, a counter or an end
            return _holds(right["elem"].get("val"), value)
        if "range" in right and isinstance(value, int):
            low, high = right["range"]
            return bool(low <= value <= high)
    return right == value
