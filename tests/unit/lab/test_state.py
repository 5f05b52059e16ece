"""State file, lock, inventory, and processes that are told apart from their successors."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml

from appliance.errors import OperatorError
from appliance.lab import inventory, processes
from appliance.lab.checkout import LabPaths
from appliance.lab.processes import Process
from appliance.lab.state import HostState, State, holder, load, locked, save

if TYPE_CHECKING:
    from pathlib import Path


def example() -> State:
    return State(
        driver="nspawn",
        subnet="10.200.0.0/24",
        hosts={
            "a": HostState("a", 1, "10.200.0.11", ready=True, process=Process(4, 9)),
            "b": HostState("b", 3, "10.200.0.13"),
        },
    )


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    paths = LabPaths(tmp_path, "demo")
    assert load(paths) is None
    save(paths, example())
    assert load(paths) == example()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 0}', '{"version": 2, "hosts": {}, "x": 1}'])
def test_a_damaged_state_is_named_and_never_guessed_at(tmp_path: Path, text: str) -> None:
    paths = LabPaths(tmp_path, "demo")
    save(paths, example())
    (paths.folder / "state.json").write_text(text)
    with pytest.raises(OperatorError, match=r"state\.json cannot be used"):
        load(paths)


def test_a_freed_host_number_is_used_again() -> None:
    assert example().free_index() == 2


HOLD = """
import sys
from pathlib import Path
from appliance.lab.state import locked
with locked(Path(sys.argv[1]), what="the lab"):
    print("held", flush=True)
    input()
"""


def test_a_second_run_waits_and_then_names_the_first(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    argv = [sys.executable, "-c", HOLD, str(file)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(OperatorError, match=f"process {other.pid}"),
            locked(file, what="the lab", seconds=0.2),
        ):
            pass
        other.kill()
        with locked(file, what="the lab", seconds=10):
            pass  # a killed run holds nothing


def test_a_lock_file_that_is_not_kept_is_removed_and_its_next_holder_is_alone(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with locked(file, what="the demo", seconds=0, keep=lambda: False):
        mine = holder(file)
        assert mine is not None
        assert mine.pid == os.getpid()
        with pytest.raises(OperatorError, match=f"process {os.getpid()}"), locked(file, what="x", seconds=0):
            pass
    assert not file.exists()
    assert holder(file) is None


def test_a_lock_on_a_removed_file_is_no_lock(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    argv = [sys.executable, "-c", HOLD, str(file)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        # the file of that name is another one now: the first holder's is out of the way
        file.unlink()
        with locked(file, what="the demo", seconds=0):
            assert file.exists()
        other.kill()


def test_a_process_is_found_by_its_environment() -> None:
    argv = [sys.executable, "-c", "print(flush=True); input()"]
    env = {**os.environ, "MARK": "/x/one"}
    with subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert processes.with_variable("MARK=/x/one") == [processes.identify(child.pid)]
        assert processes.with_variable("MARK=/x/on") == []
        child.kill()


def test_a_reused_process_id_is_another_process() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        process = processes.identify(child.pid)
        assert process is not None
        assert process.alive
        assert not Process(process.pid, process.started + 1).alive
        child.kill()
        assert processes.wait([process], 10)
        assert not process.alive  # although its parent has not collected it yet


def test_a_process_is_found_by_a_whole_argument_only() -> None:
    # it says when it runs: before that the kernel may not show its arguments yet
    argv = [sys.executable, "-c", "print(flush=True); input()", "--directory=/x/one"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        process = processes.identify(child.pid)
        assert processes.with_argument("--directory=/x/one") == [process]
        assert processes.with_argument("--directory=/x/on") == []
        child.kill()


def test_a_process_that_ignores_the_request_is_killed() -> None:
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        process = processes.identify(child.pid)
        assert process is not None
        processes.stop([process], seconds=0.2)
        assert child.wait(10) == -signal.SIGKILL


def test_the_inventory_reaches_hosts_without_the_users_own_ssh_settings(tmp_path: Path) -> None:
    paths = LabPaths(tmp_path, "demo")
    save(paths, example())
    inventory.write(paths, example())
    everything = yaml.safe_load(paths.inventory.read_text())["all"]
    assert everything["children"] == {
        "origins": {"hosts": {"a": None}},
        "state": {"hosts": {"a": None}},
        "build": {"hosts": {"a": None}},
    }
    host = everything["hosts"]["b"]
    assert host["ansible_host"] == "10.200.0.13"
    assert "-F none" in host["ansible_ssh_common_args"]
    assert f'UserKnownHostsFile="{paths.known_hosts}"' in host["ansible_ssh_common_args"]
    assert "10.200.0.0/24" in host["delivery_operator_networks"]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"orgins": ["a"]}, "group 'orgins' is unknown"),
        ({"origins": ["a", "c"]}, "names c; hosts of the lab"),
    ],
)
def test_groups_are_checked_before_anything_starts(groups: dict[str, list[str]], message: str) -> None:
    with pytest.raises(OperatorError, match=message):
        inventory.check_groups(groups, ["a", "b"])
