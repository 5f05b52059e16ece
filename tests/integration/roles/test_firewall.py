"""The host's firewall, loaded into a network namespace and knocked at from another."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.rendering import render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOST, CLIENT = "198.51.100.1", "198.51.100.2"
PORTS = {"ingest_rtmp_port": 1935, "delivery_http_port": 8080, "delivery_https_port": 8443}
BOUND = 3
TRIES = 6

# Listens on both ports until its input ends.
_LISTEN = """
import socket, sys
servers = [socket.create_server((sys.argv[1], int(port)), backlog=64) for port in sys.argv[2:]]
print("listening", flush=True)
sys.stdin.read()
"""

# Opens connections and keeps them until it ends; says how many it got.
_KNOCK = """
import socket, sys
address, port, tries = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
held = []
for _ in range(tries):
    try:
        held.append(socket.create_connection((address, port), timeout=3))
    except ConnectionRefusedError:
        pass
print(len(held))
"""


@pytest.fixture
def between() -> Iterator[Callable[[str], list[str]]]:
    """Give the prefix of a command that runs in namespace `host` or `client`, which are joined by a wire."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces are made by root alone")
    names = {side: f"appliance-{os.getpid()}-{side}" for side in ("host", "client")}
    for name in names.values():
        subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        wire = ["type", "veth", "peer", "name", "wire", "netns", names["client"]]
        subprocess.run(["ip", "-n", names["host"], "link", "add", "wire", *wire], check=True)
        for side, address in (("host", HOST), ("client", CLIENT)):
            for command in (
                ["address", "add", f"{address}/24", "dev", "wire"],
                ["link", "set", "wire", "up"],
                ["link", "set", "lo", "up"],
            ):
                subprocess.run(["ip", "-n", names[side], *command], check=True)
        yield lambda side: ["ip", "netns", "exec", names[side]]
    finally:
        for name in names.values():
            subprocess.run(["ip", "netns", "delete", name], check=True)


def _load(prefix: list[str], **variables: object) -> None:
    rules = render(
        "firewall",
        "firewall.nft.j2",
        group_names=["origins"],
        ansible_facts={"ssh_ports": [22]},
        delivery_tls=False,
        **PORTS,
        **variables,
    )
    subprocess.run([*prefix, "nft", "-f", "-"], input=rules, text=True, check=True)


def _connections(prefix: list[str], port: int) -> int:
    command = [*prefix, sys.executable, "-c", _KNOCK, HOST, str(port), str(TRIES)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout)


@pytest.mark.parametrize(("bound", "allowed"), [(BOUND, BOUND), (0, TRIES)])
def test_one_address_has_so_many_connections_to_ingest(
    between: Callable[[str], list[str]], bound: int, allowed: int
) -> None:
    _load(between("host"), firewall_ingest_connections_per_address=bound)
    command = [*between("host"), sys.executable, "-c", _LISTEN, HOST, "1935", "8080"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        assert server.stdout.readline() == "listening\n"
        assert _connections(between("client"), 1935) == allowed
        assert _connections(between("client"), 8080) == TRIES  # delivery has limits of its own
        assert server.stdin
        server.stdin.close()


def test_the_rules_can_be_loaded_again_and_again(between: Callable[[str], list[str]]) -> None:
    for bound in (BOUND, BOUND, 0, BOUND):
        _load(between("host"), firewall_ingest_connections_per_address=bound)
    shown = subprocess.run(
        [*between("host"), "nft", "list", "table", "inet", "appliance"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.count(f"ct count over {BOUND}") == 2  # IPv4 and IPv6
