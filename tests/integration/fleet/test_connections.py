"""The fleet over SSH connections on loopback: keys, known hosts, jump hosts, time limits, partial failure."""

from __future__ import annotations

import json
import time

from tests.integration.fleet.conftest import Fleet
from tests.support.ssh_server import Keys


def test_runs_on_all_at_once_and_says_whose_line_it_is(fleet: Fleet) -> None:
    for name in ("one", "two", "three"):
        fleet.server(name)
    meeting = fleet.directory / "meeting"
    meeting.mkdir()
    script = 'touch "$0/$$"; while [ "$(ls "$0" | wc -l)" -lt 3 ]; do sleep 0.02; done; echo "met  $1"'
    done = fleet.run("exec", "--seconds", "30", "--", "sh", "-c", script, str(meeting), "$HOME; me")
    assert done.status == 0, done.errors
    assert sorted(done.text.splitlines()) == [
        f"{name:<5}  met  $HOME; me" for name in ("one", "three", "two")
    ]
    assert min(done.errors.splitlines()).startswith("one: done, ")


def test_a_host_whose_key_is_not_known_is_not_talked_to(fleet: Fleet) -> None:
    good, stranger = fleet.server("good"), fleet.server("stranger", known=False)
    done = fleet.run("exec", "--json", "--", "echo", "here")
    assert done.status == 69
    hosts = json.loads(done.text)["hosts"]
    assert hosts["good"]["output"] == "here\n"
    assert "key is not known" in hosts["stranger"]["failure"]
    assert stranger.commands == []
    assert len(good.commands) == 1


def test_a_host_with_another_key_than_the_known_one_is_not_talked_to(fleet: Fleet) -> None:
    server = fleet.server("changed", known=False)
    other = Keys.make(fleet.directory / "other")
    fleet.known_hosts.write_text(f"[127.0.0.1]:{server.port} {other.public}\n")
    done = fleet.run("exec", "--", "true")
    assert done.status == 69
    assert "another key than the known one" in done.errors
    assert "ssh-keygen -R" in done.errors
    assert server.commands == []


def test_options_that_would_accept_any_key_change_nothing(fleet: Fleet) -> None:
    server = fleet.server("stranger", known=False, listed=False)
    fleet.add("stranger", server.port, "-o StrictHostKeyChecking=no")
    assert fleet.run("exec", "--", "true").status == 69
    assert server.commands == []


def test_a_key_that_is_not_let_in_is_named(fleet: Fleet) -> None:
    server = fleet.server("closed", listed=False)
    foreign = Keys.make(fleet.directory / "foreign")
    fleet.add("closed", server.port, key=foreign.path)
    done = fleet.run("exec", "--", "true")
    assert done.status == 69
    assert "operator is not let in" in done.errors
    assert str(foreign.path) in done.errors
    assert "ssh-copy-id" in done.errors


def test_goes_by_way_of_jump_hosts_whose_keys_are_known_too(fleet: Fleet) -> None:
    first, second = fleet.server("first", listed=False), fleet.server("second", listed=False)
    inner = fleet.server("inner", listed=False)
    jumps = f"operator@127.0.0.1:{first.port},operator@127.0.0.1:{second.port}"
    fleet.add("inner", inner.port, f"-o ProxyJump={jumps}")
    done = fleet.run("exec", "--", "echo", "through")
    assert done.text == "inner  through\n", done.errors
    assert first.forwarded == [("127.0.0.1", second.port)]
    assert second.forwarded == [("127.0.0.1", inner.port)]


def test_an_unknown_jump_host_is_the_end_of_the_way(fleet: Fleet) -> None:
    jump, inner = fleet.server("jump", known=False, listed=False), fleet.server("inner", listed=False)
    fleet.add("inner", inner.port, f"-J operator@127.0.0.1:{jump.port}")
    done = fleet.run("exec", "--", "true")
    assert done.status == 69
    assert f"[127.0.0.1]:{jump.port} shows ssh-ed25519" in done.errors
    assert inner.commands == []


def test_a_silent_host_and_a_slow_command_keep_nobody(fleet: Fleet) -> None:
    fleet.server("silent", silent=True)
    fleet.server("slow")
    began = time.monotonic()
    done = fleet.run("exec", "--json", "--seconds", "2", "--", "sleep", "30")
    took = time.monotonic() - began
    assert done.status == 69
    assert "not done within 2 s" in json.loads(done.text)["hosts"]["silent"]["failure"]
    assert json.loads(done.text)["hosts"]["slow"]["status"] == 124
    assert took < 10


def test_a_command_that_fails_somewhere_is_told(fleet: Fleet) -> None:
    fleet.server("one")
    done = fleet.run("exec", "--", "sh", "-c", "echo wrong >&2; exit 3")
    assert done.status == 1
    assert "one  wrong" in done.text
    assert "one: exit status 3" in done.errors


def test_what_comes_behind_the_exit_status_is_not_lost(fleet: Fleet) -> None:
    fleet.server("one").early = True
    assert fleet.run("exec", "--", "echo", "late").text == "one  late\n"


def test_nothing_that_a_terminal_obeys_comes_out(fleet: Fleet) -> None:
    fleet.server("one")
    done = fleet.run("exec", "--", "printf", r"a\033]0;title\007b\n")
    assert done.text == "one  a?]0;title?b\n"
