"""The demo's parts that need no host: what is published, how the site's progress is read, who is stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.errors import OperatorError
from appliance.lab import demo, demo_packages, demo_proof, demo_publisher, demo_site, processes
from appliance.lab.lab import Host


def host() -> Host:
    return Host("origin", "192.0.2.7", 22, running=True, ssh=("ssh", "-o", "X=a b", "root@192.0.2.7"))


def test_facts_say_where_everything_is() -> None:
    facts = demo.facts_of(host())
    assert facts.rtmp_url == "rtmp://192.0.2.7/live"
    assert facts.hls_url == "http://192.0.2.7:8080/hls/demo.m3u8"
    assert (facts.stream, facts.key) == ("demo", "")
    assert facts.ssh == "ssh -o 'X=a b' root@192.0.2.7"


def test_input_is_the_test_picture_unless_a_file_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DEMO_INPUT", raising=False)
    assert demo.input_path() is None
    file = tmp_path / "film.mp4"
    file.touch()
    monkeypatch.setenv("DEMO_INPUT", str(file))
    assert demo.input_path() == file


def test_an_input_that_is_no_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMO_INPUT", "/nonexistent/film.mp4")
    with pytest.raises(OperatorError, match=r"DEMO_INPUT=/nonexistent/film\.mp4 is not a file"):
        demo.input_path()


def test_the_clock_counts_from_midnight() -> None:
    picture = demo_publisher.test_picture(1_790_000_000.5)[4]
    assert "1789948800" in picture  # 2026-09-21T00:00:00Z
    assert 1_789_948_800 % 86_400 == 0


def test_a_file_is_played_over_and_over_in_real_time() -> None:
    assert demo_publisher.file_input(Path("/x.mp4")) == ["-stream_loop", "-1", "-re", "-i", "/x.mp4"]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("TASK [nginx : Compile nginx] ******", "nginx : Compile nginx"),
        ("RUNNING HANDLER [base : Restart the journal] ***", "base : Restart the journal"),
    ],
)
def test_tasks_are_recognised(line: str, name: str) -> None:
    found = demo_site.TASK.match(line)
    assert found
    assert found["name"] == name


def test_the_recap_says_how_much_changed() -> None:
    found = demo_site.RECAP.match("origin      : ok=74   changed=33   unreachable=0    failed=0")
    assert found
    assert found["changed"] == "33"


def test_nobody_answering_is_an_answer() -> None:
    status, reason = demo_proof.fetch("http://127.0.0.1:9/nothing")
    assert status == 0
    assert reason


def test_stop_ends_the_process_that_was_written_down_and_its_child(tmp_path: Path) -> None:
    files = demo_publisher.PublisherFiles(tmp_path)
    parent = subprocess.Popen(
        [sys.executable, "-c", "import subprocess; subprocess.run(['sleep', '60'])"], start_new_session=True
    )
    process = processes.identify(parent.pid)
    assert process
    files.state.write_text(json.dumps({"pid": process.pid, "started": process.started, "source": "rtmp://x"}))
    while not (children := demo_publisher.session_members(process.pid)):
        assert parent.poll() is None
    assert demo_publisher.running(files) == process
    assert demo_publisher.stop(files)
    parent.wait(timeout=5)
    assert not any(child.alive for child in children)
    assert not files.state.exists()


def test_stop_leaves_another_process_with_the_same_id_alone(tmp_path: Path) -> None:
    files = demo_publisher.PublisherFiles(tmp_path)
    files.state.write_text(json.dumps({"pid": os.getpid(), "started": 1, "source": "rtmp://x"}))
    assert demo_publisher.running(files) is None
    assert not demo_publisher.stop(files)


def test_the_package_cache_keeps_two_versions(tmp_path: Path) -> None:
    for age, name in enumerate(["a_1_amd64.deb", "a_2_amd64.deb", "a_3_amd64.deb", "b_1_all.deb"]):
        file = tmp_path / name
        file.touch()
        os.utime(file, (age, age))
    # no host: what it has is nothing
    demo_packages.Packages(tmp_path, ["false"]).keep(print)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "a_2_amd64.deb",
        "a_3_amd64.deb",
        "b_1_all.deb",
    ]
