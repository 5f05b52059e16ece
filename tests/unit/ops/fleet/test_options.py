"""How a host is reached: what the inventory says, and ssh_config(5)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from appliance.errors import OperatorError
from appliance.ops.fleet.ssh_options import Options, parse_jump
from appliance.ops.fleet.targets import parse_inventory


def test_the_options_of_a_lab_are_understood() -> None:
    text = (
        "-F none -o 'IdentityFile=\"/x y/100%%/key\"' -o IdentitiesOnly=yes "
        "-o 'UserKnownHostsFile=\"/x y/known\"' "
        "-o GlobalKnownHostsFile=/dev/null -o StrictHostKeyChecking=yes -o ControlPath=/x/%C"
    )
    way = Options.parse([text]).way("192.0.2.1", port=2222, user="root")
    assert (way.host, way.port, way.user, way.only_these) == ("192.0.2.1", 2222, "root", True)
    assert way.identities == (Path("/x y/100%/key"),)
    assert way.known_hosts == (Path("/x y/known"), Path("/dev/null"))
    assert (way.jumps, way.proxy_command) == ((), None)


def test_the_first_value_counts_and_short_options_too() -> None:
    options = Options.parse(["-F none -p 2200 -o Port=2201 -l me -i ~/a -i /b -J one,two@three:4 -q -C"])
    way = options.way("h")
    assert (way.port, way.user, way.jumps) == (2200, "me", ("one", "two@three:4"))
    assert way.identities == (Path("~/a").expanduser(), Path("/b"))
    jump = options.for_jumps.way("one")
    assert (jump.port, jump.user, jump.identities) == (22, None, way.identities)


def test_ssh_config_counts_unless_it_is_switched_off(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        "Host edge*\n  HostName %h.example.net\n  User ops\n  Port 2022\n  ProxyJump bastion\n"
        "  IdentityFile /keys/ops\n  IdentitiesOnly yes\n"
    )
    way = Options.parse([f"-F {config}"]).way("edge1")
    assert (way.host, way.port, way.user, way.jumps) == ("edge1.example.net", 2022, "ops", ("bastion",))
    assert way.identities == (Path("/keys/ops"),)
    assert Options.parse(["-F none"]).way("edge1").host == "edge1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bastion", (None, "bastion", None)),
        ("me@bastion:2222", ("me", "bastion", 2222)),
        ("[2001:db8::1]:22", (None, "2001:db8::1", 22)),
        ("ssh://me@bastion", ("me", "bastion", None)),
    ],
)
def test_a_jump(text: str, expected: tuple[str | None, str, int | None]) -> None:
    assert parse_jump(text) == expected


@pytest.mark.parametrize("text", ["", "me@", "bastion:ssh"])
def test_what_is_no_jump(text: str) -> None:
    with pytest.raises(ValueError, match="no jump host"):
        parse_jump(text)


def listed(**variables: object) -> str:
    return json.dumps(
        {"_meta": {"hostvars": {"a": variables}}, "origins": {"hosts": ["a"]}, "all": {"children": []}}
    )


def test_hosts_of_an_inventory() -> None:
    [target] = parse_inventory(listed(ansible_host="192.0.2.7", ansible_user="ops"), "i")
    assert target.way
    assert (target.name, target.way.host, target.way.user, target.root) == ("a", "192.0.2.7", "ops", False)
    [here] = parse_inventory(listed(ansible_connection="local"), "i")
    assert here.way is None


def test_an_inventory_without_a_host_or_with_a_template_is_refused() -> None:
    with pytest.raises(OperatorError, match="no host by --limit b"):
        parse_inventory(json.dumps({"_meta": {"hostvars": {}}, "all": {"children": []}}), "i", "b")
    for name in ("ansible_host", "ansible_user", "ansible_port", "ansible_ssh_private_key_file"):
        with pytest.raises(OperatorError, match=f"{name} is a template"):
            parse_inventory(listed(**{name: "{{ what }}"}), "i")
