"""The fleet over SSH connections on loopback: keys, known hosts, jump hosts, time limits, partial failure."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from appliance.cli import fleet as cli
from appliance.cli import preflight as preflight_cli
from appliance.cli.main import main
from appliance.health.finding import critical, warning
from appliance.ops.doctor.check import Outcome
from appliance.ops.doctor.report import Report
from appliance.ops.fleet import session
from appliance.ops.fleet.session import Done
from appliance.ops.fleet.targets import parse_inventory
from appliance.ops.preflight.inventory import Inventory
from tests.support.ssh_server import Keys, SshServer

TOP = Path(__file__).resolve().parents[3]


class Fleet:
    """Servers, an inventory of them, and the command."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self._stack = stack
        self.user = Keys.make(directory / "user")
        self.known_hosts = directory / "known_hosts"
        self.known_hosts.write_text("")
        self.hosts: dict[str, dict[str, object]] = {}

    def server(
        self, name: str, *, known: bool = True, listed: bool = True, silent: bool = False
    ) -> SshServer:
        """Start one; `listed`: in the inventory."""
        keys = Keys.make(self.directory / f"host-{name}")
        server = self._stack.enter_context(SshServer(keys, self.user, silent=silent))
        if known:
            with self.known_hosts.open("a") as file:
                file.write(server.known)
        if listed:
            self.add(name, server.port)
        return server

    def add(self, name: str, port: int, *options: str, key: Path | None = None) -> None:
        """List a host."""
        arguments = [
            "-F none",
            "-o IdentitiesOnly=yes",
            f'-o UserKnownHostsFile="{self.known_hosts}"',
            *options,
        ]
        self.hosts[name] = {
            "ansible_host": "127.0.0.1",
            "ansible_port": port,
            "ansible_user": "operator",
            "ansible_ssh_private_key_file": str(key or self.user.path),
            "ansible_ssh_common_args": " ".join(arguments),
        }

    def programs(self, name: str, scripts: dict[str, str]) -> SshServer:
        """Start a server that finds these programs (the bodies of shell scripts) before the machine's."""
        server = self.server(name)
        server.programs = self.directory / f"programs-{name}"
        server.programs.mkdir()
        for program, body in {"sudo": 'shift; exec "$@"', **scripts}.items():
            (server.programs / program).write_text(f"#!/bin/sh\n{body}\n")
            (server.programs / program).chmod(0o755)
        return server

    def doctor(self, name: str, text: str, *, status: int = 0) -> SshServer:
        """Start a server whose `appliance` prints `text`."""
        return self.programs(name, {"appliance": f"cat <<'END'\n{text}\nEND\nexit {status}"})

    def run(self, verb: str, *arguments: str) -> Done:
        """Run the command, with Ansible's words for these hosts."""
        listed = {"_meta": {"hostvars": self.hosts}, "origins": {"hosts": list(self.hosts)}}
        out, errors = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patched:
            for area in (cli, preflight_cli):
                patched.setattr(
                    area, "read_targets", lambda _, limit: parse_inventory(json.dumps(listed), "i", limit)
                )
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):  # noqa: SIM117
                with pytest.raises(SystemExit) as left:
                    main([*(["fleet"] if verb != "preflight" else []), verb, *arguments])
        return Done(int(left.value.code or 0), out.getvalue(), errors.getvalue())

    def on_terminal(self, verb: str) -> Done:
        """Run the command as an operator does: Ansible reads the inventory, standard error is a terminal."""
        inventory = self.directory / "inventory.yml"
        inventory.write_text(yaml.safe_dump({"all": {"children": {"origins": {"hosts": self.hosts}}}}))
        terminal, end = pty.openpty()
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
        drawn = bytearray()
        reader = threading.Thread(target=_read_all, args=(terminal, drawn), daemon=True)
        reader.start()
        done = subprocess.run(
            [str(Path(sys.executable).with_name("appliance")), "fleet", verb, "-i", str(inventory)],
            stdout=subprocess.PIPE,
            stderr=end,
            text=True,
            check=False,
            cwd=TOP,
            timeout=60,
            env={**os.environ, "PYTHONPATH": str(TOP)},
        )
        os.close(end)
        reader.join(10)
        os.close(terminal)
        return Done(done.returncode, done.stdout, drawn.decode())


def _read_all(terminal: int, into: bytearray) -> None:
    with contextlib.suppress(OSError):
        while data := os.read(terminal, 65536):
            into.extend(data)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield Fleet(tmp_path, stack)


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


def healthy(version: str = "1.0") -> dict[str, Any]:
    """Return a report as a host without findings gives it."""
    report = Report(0.0, 1.2, (Outcome("units", (), 0.1),), (), {"appliance": version, "kernel": "6.12"}, ())
    return report.described()


def test_the_doctor_goes_everywhere_and_hosts_are_compared(fleet: Fleet) -> None:
    fleet.doctor("one", json.dumps(healthy()))
    fleet.doctor("two", json.dumps(healthy()))
    fleet.doctor("old", json.dumps(healthy("0.9")))
    finding = critical("unit x has failed", "failed", "nobody can watch", "systemctl restart x").of("units")
    fleet.doctor("sick", json.dumps(healthy() | {"findings": [finding.described()]}), status=2)
    fleet.doctor("mute", "no JSON")
    fleet.programs("bare", {"timeout": 'shift 2; exec env PATH=/nowhere /bin/sh -c \'exec "$@"\' sh "$@"'})
    fleet.server("stranger", known=False)
    done = fleet.run("doctor", "--json")
    assert done.status == 2, done.errors
    hosts = json.loads(done.text)["hosts"]
    said = {name: [each["what"] for each in host["findings"]] for name, host in hosts.items()}
    assert said.pop("one") == said.pop("two") == []
    assert said.pop("old") == ["appliance is another version than elsewhere"]
    assert said.pop("sick") == ["unit x has failed"]
    assert said == {name: ["the host cannot be looked at"] for name in ("mute", "bare", "stranger")}
    assert "key is not known" in hosts["stranger"]["findings"][0]["seen"]
    assert "there is no `appliance` on it" in hosts["bare"]["findings"][0]["seen"]
    assert "no JSON" in hosts["mute"]["findings"][0]["seen"]
    lines = done.errors.splitlines()
    assert any(line.startswith("sick: 1 finding: unit x has failed, ") for line in lines)
    assert any(line.startswith("one: no finding, ") for line in lines)


def test_the_checklist_asks_inventory_and_hosts(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    login = warning("SSH takes passwords", "yes", "robots", "sshd_config").of("login")
    tls = warning("the certificate is self-signed", "of the file", "refused", "buy one").of("tls")
    report = json.dumps(healthy() | {"findings": [login.described(), tls.described()]})
    seen = fleet.directory / "arguments"
    fleet.programs("open", {"appliance": f"echo \"$@\" >{seen}; cat <<'END'\n{report}\nEND\nexit 1"})
    fleet.doctor("meant", report, status=1)
    fleet.programs("bare", {"timeout": 'shift 2; exec env PATH=/nowhere /bin/sh -c \'exec "$@"\' sh "$@"'})
    beforehand = warning("the certificate is self-signed", "none is named", "refused", "buy one").of("tls")
    hosts = dict.fromkeys(("open", "meant", "bare"), (beforehand,))
    accepted = {"open": frozenset[str](), "meant": frozenset({"login", "tls"}), "bare": frozenset[str]()}
    backup = warning("no backup is made", "none", "lost", "make one").of("backup")
    planned = Inventory((backup,), hosts | {"meant": ()}, accepted)
    monkeypatch.setattr(preflight_cli, "ask_inventory", lambda *_: planned)
    done = fleet.run("preflight", "--json")
    assert done.status == 1, done.errors
    said = json.loads(done.text)
    assert [one["what"] for one in said["site"]] == ["no backup is made"]
    found = {
        name: (host["deployed"], [(one["what"], one["seen"]) for one in host["findings"]])
        for name, host in said["hosts"].items()
    }
    assert found == {
        "open": (True, [("SSH takes passwords", "yes"), ("the certificate is self-signed", "of the file")]),
        "meant": (True, []),
        "bare": (False, [("the certificate is self-signed", "none is named")]),
    }
    assert seen.read_text() == "doctor --json --checklist --name open --name 127.0.0.1\n"
    printed = fleet.run("preflight")
    assert "bare is not deployed yet" in printed.text
    assert printed.text.endswith("\n4 findings\n")


def test_a_host_that_the_checklist_cannot_ask_is_a_finding(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.server("stranger", known=False)
    planned = Inventory((), {"stranger": ()}, {"stranger": frozenset()})
    monkeypatch.setattr(preflight_cli, "ask_inventory", lambda *_: planned)
    done = fleet.run("preflight", "--json")
    assert done.status == 2
    [finding] = json.loads(done.text)["hosts"]["stranger"]["findings"]
    assert "key is not known" in finding["seen"]
    assert json.loads(done.text)["hosts"]["stranger"]["deployed"] is None
    assert fleet.run("preflight", "--no-hosts").text == "nothing found\n"


def test_without_a_finding_the_exit_status_is_zero(fleet: Fleet) -> None:
    fleet.doctor("one", json.dumps(healthy()))
    done = fleet.run("doctor")
    assert (done.status, done.text) == (0, "1 of 1 host without a finding\n"), done.errors


def test_on_a_terminal_a_table_shows_how_far_the_hosts_are(fleet: Fleet) -> None:
    fleet.doctor("one", json.dumps(healthy()))
    fleet.server("stranger", known=False)
    done = fleet.on_terminal("doctor")
    assert done.status == 2
    assert "\x1b[" in done.errors
    assert all(word in done.errors for word in ("waiting", "no finding", "FAILED: its key is not known"))
    assert "key is not known" in done.text


def test_a_clock_that_differs_is_found_from_here(fleet: Fleet) -> None:
    server = fleet.doctor("ahead", json.dumps(healthy()))
    assert server.programs
    date = server.programs / "date"
    date.write_text('#!/bin/sh\n/bin/date -d "now + 90 seconds" "$@"\n')
    date.chmod(0o755)
    done = fleet.run("doctor", "--json")
    [finding] = json.loads(done.text)["hosts"]["ahead"]["findings"]
    assert finding["what"] == "its clock differs"
    assert finding["seen"].startswith(("+90.", "+89."))
    assert done.status == 1


def test_journals_are_merged_by_time(fleet: Fleet) -> None:
    for name, lines in (
        ("a", ["10:00:01.000000 first", "10:00:03.000000 third", "  and-more"]),
        ("b", ["10:00:02.000000 second"]),
    ):
        text = "\n".join(line if line.startswith(" ") else f"2026-01-01T{line}" for line in lines)
        fleet.programs(name, {"journalctl": f"cat <<'END'\n{text}\nEND\n"})
    done = fleet.run("logs")
    assert [line.split()[0] + line.split()[-1] for line in done.text.splitlines()] == [
        "afirst",
        "bsecond",
        "athird",
        "aand-more",
    ]
    assert done.status == 0


def test_of_a_stream_each_host_says_what_its_own_command_shows(fleet: Fleet) -> None:
    fleet.programs("a", {"appliance": 'echo "2026-01-01T10:00:0$#.000Z  control  $*"'})
    fleet.programs("b", {"appliance": 'echo "2026-01-01T10:00:00.000Z  delivery  first"'})
    fleet.programs("c", {"appliance": "echo 'the journal cannot be read' >&2; exit 69"})
    done = fleet.run("logs", "--stream", "demo", "--since", "-2h")
    assert done.text.splitlines() == [
        "b  2026-01-01T10:00:00.000Z  delivery  first",
        "a  2026-01-01T10:00:04.000Z  control  logs --stream=demo --since=-2h --lines=200",
    ]
    assert "c: the journal cannot be read" in done.errors
    assert done.status == 1
    assert fleet.run("logs", "--stream", "demo", "--grep", "x").status == 64


def test_lines_of_one_millisecond_stay_in_their_order(fleet: Fleet) -> None:
    said = ("ingest       one", "control     two", "delivery    three")
    text = "\n".join(f"2026-01-01T10:00:00.000Z  {line}" for line in said)
    fleet.programs("a", {"appliance": f"cat <<'END'\n{text}\nEND\n"})
    done = fleet.run("logs", "--stream", "demo")
    assert [line.split()[-1] for line in done.text.splitlines()] == ["one", "two", "three"]


def test_a_journal_that_is_cut_is_told(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_LARGEST", 100)
    fleet.programs("a", {"appliance": "yes '2026-01-01T10:00:00.000Z  control  x' | head -n 5"})
    done = fleet.run("logs", "--stream", "demo")
    assert done.status == 1
    assert "a: it has more than is shown, and newer" in done.errors
    assert json.loads(fleet.run("exec", "--json", "--", "appliance").text)["hosts"]["a"]["cut"] is True


def test_status_is_a_row_for_each(fleet: Fleet) -> None:
    summary = {
        "streams_live": 3,
        "streams": [],
        "connections": 120,
        "load": 1.5,
        "cores": 4,
        "memory": 0.25,
        "media": 0.5,
        "uptime": 7200,
        "version": "1.0",
        "units_down": [],
    }
    fleet.doctor("up", json.dumps(summary))
    fleet.doctor("half", json.dumps(summary | {"units_down": ["appliance-ingest.service"]}))
    done = fleet.run("status")
    rows = {line.split("│")[1].strip(): line for line in done.text.splitlines() if "│" in line}
    assert "DOWN: appliance-ingest.service" in rows["half"]
    assert [cell.strip() for cell in rows["up"].split("│")[2:7]] == ["runs", "3", "120", "1.5/4", "25 %"]
    assert done.status == 1
