"""Many hosts, of which some hang, and commands on this machine that leave something behind."""

from __future__ import annotations

import threading
import time

import pytest

from appliance.ops.fleet.everywhere import on_all
from appliance.ops.fleet.progress import Lines
from appliance.ops.fleet.session import CUT_OFF, LocalSession, Session
from appliance.ops.fleet.ssh_options import Options
from appliance.ops.fleet.targets import Target


def target(name: str) -> Target:
    return Target(name, None, Options.parse([]))


def test_what_a_command_leaves_behind_is_not_waited_for() -> None:
    began = time.monotonic()
    done = LocalSession(target("here")).run(["sh", "-c", "sleep 6 & echo hi"], seconds=2)
    assert (done.status, done.text) == (0, "hi\n")
    assert time.monotonic() - began < 4


def test_what_does_not_end_is_killed_with_all_that_it_started() -> None:
    lines: list[str] = []
    script = "trap '' TERM; sleep 20 & echo hi; wait; sleep 20"
    for line in (None, lines.append):
        began = time.monotonic()
        done = LocalSession(target("here")).run(["sh", "-c", script], seconds=0.5, line=line)
        assert time.monotonic() - began < 8
        assert done.status == CUT_OFF
    assert lines == ["hi"]


def test_hosts_that_hang_take_nobody_s_turn() -> None:
    held = threading.Event()

    def work(session: Session) -> str:
        if session.target.name.startswith("hangs"):
            held.wait(30)
        return session.target.name

    names = ["hangs-1", "hangs-2", "well-1", "well-2", "well-3"]
    ended: list[list[str | None]] = []

    def run() -> None:
        results = on_all(
            [target(name) for name in names], work, Lines(), lambda name: (name, True), seconds=0.3, at_once=2
        )
        ended.append([result.value for result in results])

    looking = threading.Thread(target=run, daemon=True)
    looking.start()
    looking.join(10)
    held.set()
    assert ended == [[None, None, "well-1", "well-2", "well-3"]]


class Interrupted(Lines):
    """Ctrl-C comes when one host has answered, and the second is at work."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        self.ended: dict[str, str] = {}

    def state(self, host: str, text: str) -> None:
        self.states[host] = text

    def done(self, host: str, text: str, *, good: bool) -> None:
        del good
        self.ended[host] = text

    def tick(self) -> None:
        if "well" in self.ended and self.states.get("hangs") == "at work":
            raise KeyboardInterrupt


@pytest.mark.parametrize("seconds", [60, None])
def test_ctrl_c_tells_who_had_not_answered(seconds: float | None) -> None:
    held, shown = threading.Event(), Interrupted()

    def work(session: Session) -> str:
        if session.target.name == "hangs":
            held.wait(30)
        return "well"

    names = ["well", "hangs", "waits"]
    with pytest.raises(KeyboardInterrupt):
        on_all(
            [target(name) for name in names],
            work,
            shown,
            lambda text: (text, True),
            seconds=seconds,
            at_once=1,
        )
    held.set()
    assert shown.ended.pop("well").startswith("well")
    expected = {"hangs": "interrupted before it had answered", "waits": "interrupted before its turn"}
    if seconds is None:
        del expected["hangs"]  # as `logs --follow`: it was never to end
    assert shown.ended == expected


def test_who_ends_the_program_in_a_host_s_thread_ends_it() -> None:
    def work(_: Session) -> str:
        raise SystemExit(141)

    with pytest.raises(SystemExit) as left:
        on_all([target("one")], work, Lines(), lambda text: (text, True), seconds=60, at_once=1)
    assert left.value.code == 141
