"""Bridge, subnet, NAT and forwarding of a lab.

Everything carries the lab's identifier: the bridge `lab-<id>`, the table `lab_<id>`, and the
comment on each rule that had to go into somebody else's chain. What is there can therefore be
found from the kernel alone, whatever became of the run that made it.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from ipaddress import IPv4Network, collapse_addresses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.errors import OperatorError
from appliance.lab.command import run, succeeds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from appliance.lab.checkout import LabPaths

POOL = IPv4Network("10.128.0.0/10")
"""Where lab subnets come from: a part of 10/8 (RFC 1918) that clouds, Docker and home routers rarely use."""

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")

TABLE_PREFIX = "lab_"


def routed_networks(except_device: str = "") -> list[IPv4Network]:
    """Return the IPv4 networks this machine has routes to, but default routes and those of one device."""
    routes = json.loads(run(["ip", "-json", "-4", "route", "show", "table", "all"]) or "[]")
    found = [IPv4Network(route["dst"], strict=False) for route in routes
             if route["dst"] != "default" and route.get("dev") != except_device]  # fmt: skip
    return list(collapse_addresses(found))


def choose_subnet(ident: str, taken: Iterable[IPv4Network]) -> IPv4Network:
    """Return the /24 for a lab: the one its identifier points at, or the next that collides with no route.

    Args:
        ident: the lab's hexadecimal identifier; the same one gets the same subnet on a quiet machine.
        taken: networks that must not be touched.

    Raises:
        OperatorError: nothing in `POOL` is free.
    """
    busy = list(taken)
    count = 2 ** (24 - POOL.prefixlen)
    for step in range(count):
        number = (int(ident, 16) + step) % count
        subnet = IPv4Network((int(POOL.network_address) + number * 256, 24))
        if not any(subnet.overlaps(network) for network in busy):
            return subnet
    raise OperatorError(f"no free /24 in {POOL} for the lab's network: every one has a route on this machine")


def _ruleset() -> list[dict[str, Any]]:
    listed: dict[str, Any] = json.loads(run(["nft", "--json", "--handle", "list", "ruleset"]))
    objects: list[dict[str, Any]] = listed["nftables"]
    return objects


def foreign_forward_chains(objects: Iterable[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Return (family, table, chain) of each chain that could cut the lab's hosts off.

    A packet is dropped when any chain on the hook drops it, so an accept in a table of our own
    would not help: the rule has to stand in their chain. Docker documents DOCKER-USER for that
    (it is walked first and survives Docker's restarts); elsewhere the base chain itself is meant.
    """
    listed = list(objects)
    docker = {
        (chain["family"], chain["table"])
        for chain in (item["chain"] for item in listed if "chain" in item)
        if chain["name"] == "DOCKER-USER"
    }
    used = {
        (rule["family"], rule["table"], rule["chain"]) for rule in (i["rule"] for i in listed if "rule" in i)
    }
    found = []
    for chain in (item["chain"] for item in listed if "chain" in item):
        place = (chain["family"], chain["table"], chain["name"])
        if chain.get("hook") != "forward" or chain["family"] not in ("ip", "inet"):
            continue
        if chain["table"].startswith(TABLE_PREFIX):
            continue
        if (chain["family"], chain["table"]) in docker:
            found.append((chain["family"], chain["table"], "DOCKER-USER"))
        elif chain.get("policy") == "drop" or place in used:
            found.append(place)
    return found


def _legacy_tables() -> bool:
    """Whether the old iptables, whose rules nft does not list, filters on this machine."""
    try:
        return "filter" in Path("/proc/net/ip_tables_names").read_text().split()
    except OSError:
        return False


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Serialise the labs of all checkouts while they look at each other's tables; leaves no file behind."""
    handle = os.open("/run", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _tables(objects: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Return the tables of all labs on this machine, with their comments."""
    tables = (item["table"] for item in objects if "table" in item)
    return {
        table["name"]: table.get("comment", "")
        for table in tables
        if table["family"] == "ip" and table["name"].startswith(TABLE_PREFIX)
    }


def _comments() -> dict[str, str]:
    """Return the comments of the labs' tables, from the text: nft 1.0.6 leaves them out of its JSON."""
    found = {}
    for name in _tables(_ruleset()):
        for line in run(["nft", "list", "table", "ip", name]).splitlines():
            if line.strip().startswith("comment "):
                found[name] = line.strip()[9:-1]
                break
    return found


def up(paths: LabPaths, subnet: IPv4Network) -> None:
    """Make what is missing of the lab's network (needs root; may be called again at any time).

    The earlier value of ip_forward is kept as the comment of the table, which comes into being
    before forwarding is switched on and goes last: no file can be lost that would be needed to
    restore it, and a reboot forgets both.

    Raises:
        OperatorError: a command failed.
    """
    bridge, table = paths.bridge, paths.table
    with _one_at_a_time():
        if not (Path("/sys/class/net") / bridge).exists():
            run(
                [
                    "ip",
                    "link",
                    "add",
                    "name",
                    bridge,
                    "type",
                    "bridge",
                    "stp_state",
                    "0",
                    "forward_delay",
                    "0",
                ]
            )
        run(["ip", "address", "replace", f"{subnet[1]}/{subnet.prefixlen}", "dev", bridge])
        run(["ip", "link", "set", "dev", bridge, "up"])
        if table not in _tables(_ruleset()):
            before = next(iter(_comments().values()), f"ip_forward={FORWARDING.read_text().strip()}")
            run(
                ["nft", "-f", "-"],
                stdin=f"""table ip {table} {{
    comment "{before}"
    chain postrouting {{
        type nat hook postrouting priority srcnat
        ip saddr {subnet} oifname != "{bridge}" masquerade
    }}
}}
""",
            )
        if FORWARDING.read_text().strip() != "1":
            FORWARDING.write_text("1\n")
        _let_through(bridge, table)


def _let_through(bridge: str, table: str) -> None:
    """Put accept rules where another firewall would drop the hosts' packets."""
    objects = _ruleset()
    present = {
        (rule["family"], rule["table"], rule["chain"])
        for rule in (item["rule"] for item in objects if "rule" in item)
        if rule.get("comment") == table
    }
    for family, owner, chain in foreign_forward_chains(objects):
        if (family, owner, chain) not in present:
            for side in ("iifname", "oifname"):
                run(
                    [
                        "nft",
                        "insert",
                        "rule",
                        family,
                        owner,
                        chain,
                        side,
                        bridge,
                        "accept",
                        "comment",
                        f'"{table}"',
                    ]
                )
    if _legacy_tables():
        for side in ("-i", "-o"):
            rule = ["FORWARD", side, bridge, "-m", "comment", "--comment", table, "-j", "ACCEPT"]
            if not succeeds(["iptables-legacy", "-C", *rule]):
                run(["iptables-legacy", "-I", *rule])


def down(paths: LabPaths) -> None:
    """Remove the lab's network, whatever part of it exists; the last lab restores ip_forward (needs root)."""
    bridge, table = paths.bridge, paths.table
    with _one_at_a_time():
        objects = _ruleset()
        for rule in (item["rule"] for item in objects if "rule" in item):
            if rule.get("comment") == table:
                place = [rule["family"], rule["table"], rule["chain"]]
                run(["nft", "delete", "rule", *place, "handle", str(rule["handle"])])
        if _legacy_tables():
            for side in ("-i", "-o"):
                rule_ = ["FORWARD", side, bridge, "-m", "comment", "--comment", table, "-j", "ACCEPT"]
                while succeeds(["iptables-legacy", "-D", *rule_]):
                    pass
        for port in (Path("/sys/class/net") / bridge / "brif").glob("*"):
            run(["ip", "link", "delete", "dev", port.name])
        if (Path("/sys/class/net") / bridge).exists():
            run(["ip", "link", "delete", "dev", bridge])
        tables = _tables(objects)
        if table in tables:
            comment = _comments().get(table, "")
            if set(tables) == {table} and comment == "ip_forward=0":
                FORWARDING.write_text("0\n")
            run(["nft", "delete", "table", "ip", table])
