"""Many hosts, of which some hang, and commands on this machine that leave something behind."""

from __future__ import annotations

import threading
import time

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
