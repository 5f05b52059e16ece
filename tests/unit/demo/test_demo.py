"""The demo's parts that need no host: what is published, how the site's progress is read, who is stopped."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.demo import demo, packages, proof, publisher, site
from appliance.errors import OperatorError
from appliance.lab import processes
from appliance.lab.lab import Host


def host() -> Host:
    return Host("origin", "192.0.2.7", 22, running=True, ssh=("ssh", "-o", "X=a b", "root@192.0.2.7"))


def test_facts_say_where_everything_is() -> None:
    facts = demo.facts_of(host())
    assert facts.rtmp_url == "rtmp://192.0.2.7/live"
    assert facts.hls_url == "http://192.0.2.7:8080/hls/demo.m3u8"
    assert facts.watch_url == "http://192.0.2.7:8080/watch/demo"
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
    picture = publisher.test_picture(1_790_000_000.5)[4]
    assert "1789948800" in picture  # 2026-09-21T00:00:00Z
    assert 1_789_948_800 % 86_400 == 0


def test_a_file_is_played_over_and_over_in_real_time() -> None:
    assert publisher.file_input(Path("/x.mp4")) == ["-stream_loop", "-1", "-re", "-i", "/x.mp4"]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("TASK [nginx : Compile nginx] ******", "nginx : Compile nginx"),
        ("RUNNING HANDLER [base : Restart the journal] ***", "base : Restart the journal"),
    ],
)
def test_tasks_are_recognised(line: str, name: str) -> None:
    found = site.TASK.match(line)
    assert found
    assert found["name"] == name


def test_the_recap_says_how_much_changed() -> None:
    found = site.RECAP.match("origin      : ok=74   changed=33   unreachable=0    failed=0")
    assert found
    assert found["changed"] == "33"


def test_nobody_answering_is_an_answer() -> None:
    status, reason = proof.fetch("http://127.0.0.1:9/nothing")
    assert status == 0
    assert reason


def test_stop_ends_the_process_that_was_written_down_and_its_child(tmp_path: Path) -> None:
    files = publisher.PublisherFiles(tmp_path)
    parent = subprocess.Popen(
        [sys.executable, "-c", "import subprocess; subprocess.run(['sleep', '60'])"], start_new_session=True
    )
    process = processes.identify(parent.pid)
    assert process
    files.state.write_text(json.dumps({"pid": process.pid, "started": process.started, "source": "rtmp://x"}))
    while not (children := publisher.session_members(process.pid)):
        assert parent.poll() is None
    assert publisher.running(files) == process
    assert publisher.stop(files)
    parent.wait(timeout=5)
    assert not any(child.alive for child in children)
    assert not files.state.exists()


def test_stop_leaves_another_process_with_the_same_id_alone(tmp_path: Path) -> None:
    files = publisher.PublisherFiles(tmp_path)
    files.state.write_text(json.dumps({"pid": os.getpid(), "started": 1, "source": "rtmp://x"}))
    assert publisher.running(files) is None
    assert not publisher.stop(files)


def test_the_package_cache_keeps_two_versions(tmp_path: Path) -> None:
    for age, name in enumerate(["a_1_amd64.deb", "a_2_amd64.deb", "a_3_amd64.deb", "b_1_all.deb"]):
        file = tmp_path / name
        file.touch()
        os.utime(file, (age, age))
    # no host: what it has is nothing
    packages.Packages(tmp_path, ["false"]).keep(print)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "a_2_amd64.deb",
        "a_3_amd64.deb",
        "b_1_all.deb",
    ]


def playlist(*lines: str) -> str:
    return "\n".join(("#EXTM3U", *lines)) + "\n"


SEGMENT = ("#EXTINF:2.0,", "1.m4s")


def test_media_playlists_of_audio_and_video_are_found() -> None:
    text = playlist(
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="a",URI="demo/e/audio/index.m3u8"',
        '#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO="a"',
        "demo/e/v720/index.m3u8",
    )
    assert proof.media_playlists("http://192.0.2.7/hls/demo.m3u8", text) == [
        "http://192.0.2.7/hls/demo/e/audio/index.m3u8",
        "http://192.0.2.7/hls/demo/e/v720/index.m3u8",
    ]


def test_only_what_follows_a_new_discontinuity_is_newer() -> None:
    old = playlist("#EXT-X-DISCONTINUITY-SEQUENCE:2", *SEGMENT, "#EXT-X-DISCONTINUITY", *SEGMENT * 4)
    assert proof.discontinuities(old) == 3
    assert not proof.is_newer(old, 3)
    few = old + playlist("#EXT-X-DISCONTINUITY", *SEGMENT * (proof.FRESH_SEGMENTS - 1))
    assert not proof.is_newer(few, 3)
    enough = old + playlist("#EXT-X-DISCONTINUITY", *SEGMENT * proof.FRESH_SEGMENTS)
    assert proof.is_newer(enough, 3)


def test_a_playlist_of_a_new_name_is_newer_once_it_has_a_segment() -> None:
    assert not proof.is_newer(playlist(), None)
    assert proof.is_newer(playlist(*SEGMENT), None)


def test_an_ended_stream_is_never_newer() -> None:
    assert not proof.is_newer(playlist(*SEGMENT, "#EXT-X-ENDLIST"), None)


@pytest.mark.parametrize(
    ("streams", "container", "video"),
    [
        ([{"codec_type": "video"}, {"codec_type": "audio"}], "mov,mp4", True),
        ([{"codec_type": "audio"}], "wav", False),
        (
            [{"codec_type": "audio"}, {"codec_type": "video", "disposition": {"attached_pic": 1}}],
            "mp3",
            False,
        ),
        ([{"codec_type": "video"}], "tty", False),
        ([], "mov,mp4", False),
    ],
)
def test_a_video_has_moving_pictures(streams: list[dict[str, object]], container: str, video: bool) -> None:
    probed = json.dumps({"streams": streams, "format": {"format_name": container}})
    assert demo.has_video(probed) is video


def test_a_long_task_is_named_as_it_begins_and_a_short_one_never() -> None:
    said: list[str] = []
    progress = site.Progress(said.append, list[str]().append)
    progress.begin("nginx : Compile nginx (one to three minutes)")
    assert said == ["  nginx : Compile nginx (one to three minutes) …"]
    progress.begin("base : Write files")
    progress.begin("")
    assert said[1:] == ["  nginx : Compile nginx (one to three minutes): done after 0 s"]


def test_a_task_that_goes_on_is_named_before_it_ends() -> None:
    spoken: queue.Queue[str] = queue.Queue()
    progress = site.Progress(spoken.put, list[str]().append, quiet_seconds=0.01)
    progress.begin("apt : Install")
    assert spoken.get(timeout=5).startswith("  apt : Install …")
    progress.begin("")
    assert spoken.get(timeout=5).startswith("  apt : Install: done after")


def test_ansible_of_a_killed_run_is_ended_and_nobody_elses(tmp_path: Path) -> None:
    program = tmp_path / "ansible-playbook"
    shutil.copy(shutil.which("sleep") or "", program)
    env = {"PATH": os.environ["PATH"], site.MARK: str(tmp_path)}
    with (
        subprocess.Popen([program, "60"], env=env) as ours,
        subprocess.Popen([program, "60"], env={**env, site.MARK: "/elsewhere"}) as other,
    ):
        site.end_orphans(tmp_path)
        assert ours.wait(timeout=5) == -signal.SIGTERM
        assert other.poll() is None
        other.kill()
