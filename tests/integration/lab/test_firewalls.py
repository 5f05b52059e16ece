"""Forwarding and other people's firewalls, in a network namespace where nobody else is disturbed.

Real kernel, real nftables: the script runs in a fresh network namespace with its own ip_forward.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = '''
import json, subprocess
from ipaddress import IPv4Network
from pathlib import Path
from appliance.lab import network
from appliance.lab.checkout import LabPaths

def nft(text):
    subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True)

def ruleset():
    return says("nft", "list", "ruleset")

def says(*argv):
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

def links():
    return {item["ifname"] for item in json.loads(says("ip", "-j", "link"))}

nft("""
table ip filter {
    chain DOCKER-USER {
    }
    chain FORWARD {
        type filter hook forward priority filter; policy drop;
        jump DOCKER-USER
    }
}
table inet strict {
    chain forward {
        type filter hook forward priority filter; policy drop;
    }
}
table inet open {
    chain forward {
        type filter hook forward priority filter; policy accept;
    }
}
""")
network.FORWARDING.write_text("0\\n")  # a new namespace takes over the machine's
before, links_before = ruleset(), links()
a, b = (LabPaths(Path("/nowhere"), name) for name in ("a", "b"))
network.up(a, IPv4Network("10.200.1.0/24"))
network.up(b, IPv4Network("10.200.2.0/24"))
once = ruleset()
network.up(a, IPv4Network("10.200.1.0/24"))
assert ruleset() == once, "a second up changes nothing"
assert network.FORWARDING.read_text() == "1\\n"
for lab in (a, b):
    for side in ("iifname", "oifname"):
        rule = f'{side} "{lab.bridge}" accept comment "{lab.table}"'
        assert once.count(rule) == 2, (rule, once)
user = says("nft", "list", "chain", "ip", "filter", "DOCKER-USER")
assert a.bridge in user and b.bridge in user, "Docker's rules are passed where Docker documents it"
network.down(a)
assert network.FORWARDING.read_text() == "1\\n", "the other lab still needs it"
assert a.table not in ruleset() and b.table in ruleset()
network.down(b)
network.down(b)
assert network.FORWARDING.read_text() == "0\\n"
assert ruleset() == before
assert links() == links_before
'''


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a network namespace")
def test_forwarding_and_foreign_rules_are_as_before_when_the_last_lab_goes() -> None:
    # /sys shows the interfaces of the namespace it was mounted in
    shell = 'mount -t sysfs sysfs /sys && exec "$0" -c "$1"'
    argv = ["unshare", "--net", "--mount", "sh", "-c", shell, sys.executable, SCRIPT]
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3], timeout=60
    )
    assert done.returncode == 0, done.stderr
