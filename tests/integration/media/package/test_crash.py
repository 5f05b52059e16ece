"""SIGKILL at any point and a full disk: what is listed is there, and no name means two things."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from appliance.media.package.rendition import Rendition
from appliance.media.storage import Storage
from appliance.secrets.keyring import Keyring
from appliance.settings import Container
from tests.unit.media.package.handmade import STARTED, pictures, sound
from tests.unit.media.package.published import Workbench, options

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[4]
KILLS = 15
KINDS: Final[list[tuple[Container, float]]] = [("fmp4", 0), ("fmp4", 0.26), ("mpegts", 0)]


@pytest.mark.parametrize(("container", "part"), KINDS)
def test_killed_again_and_again(tmp_path: Path, container: Container, part: float) -> None:
    wanted = options(segment=1, window=4, rotation=3, part=part, container=container)
    bench = Workbench(tmp_path, Keyring.create(b"m" * 32), wanted)
    chance = random.Random(7)
    names: dict[Path, bytes] = {}
    numbers = [-1]
    program = "tests.integration.media.package.writer"
    argv = [sys.executable, "-m", program, str(tmp_path), container, str(part)]
    for _ in range(KILLS):
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as writer:
            assert writer.stdout is not None
            numbers += [int(writer.stdout.readline()) for _ in range(chance.randint(1, 3))]
            # Not a wait for something to happen: the moment of the kill is the test's random variable.
            time.sleep(chance.uniform(0, 0.1))
            writer.kill()
        epochs = Storage(bench.directory).directories()
        assert len(epochs) <= 1
        for epoch in epochs:
            bench.check(epoch)
            for path in (bench.directory / epoch).glob("*/*.*"):
                if path.suffix in (".m4s", ".mp4", ".ts") and not path.name.startswith("."):
                    data = path.read_bytes()
                    assert names.setdefault(path, data) == data, f"{path} has other bytes now"
    assert numbers == sorted(numbers)
    assert numbers[-1] > KILLS
    packager = bench.packager()
    playlists = bench.check(packager.epoch)
    assert len({item.segments[-1].msn for item in playlists.values()}) == 1
    assert not list(bench.directory.glob("**/.tmp*"))


@pytest.fixture
def small_root(tmp_path: Path) -> Iterator[Path]:
    root = tmp_path / "small"
    root.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(root)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a tmpfs needs root")
    yield root
    subprocess.run(["umount", str(root)], check=True)


@pytest.mark.parametrize(("container", "part"), KINDS)
def test_a_full_media_root(
    small_root: Path, caplog: pytest.LogCaptureFixture, container: Container, part: float
) -> None:
    wanted = options(segment=1, window=6, part=part, container=container)
    bench = Workbench(small_root, Keyring.create(b"m" * 32), wanted)
    packager = bench.packager()
    # 360 kB a segment: the thirteen in the window and behind it do not fit, six do. With parts it is all
    # there twice, for as long as they are kept.
    share = 2 if part else 1
    renditions = [Rendition("720p", "video"), Rendition("audio", "audio")]
    seen: dict[str, set[str]] = {}
    for run in range(3):
        packager.begin(renditions, started_at=STARTED + timedelta(seconds=100 * run))
        video, track = pictures(), sound()
        packager.feed("720p", video.init())
        packager.feed("audio", track.init())
        for step in range(120):
            # In the second run six segments do not fit, in the third not even one.
            payload = (90_000 // share, 150_000 // share, 900_000)[run]
            packager.feed("720p", video.fragment(8, keyframe=step % 4 == 0, payload=payload))
            packager.feed("audio", track.fragment(12, payload=500))
            if packager.playable:
                bench.check(packager.epoch)
            for alert in packager.alerts.describe():
                seen.setdefault(alert["name"], set()).add(alert["value"])
        packager.end_run()
        playlists = bench.check(packager.epoch)
        gaps = [item.gap for item in playlists["720p"].segments]
        assert any(gaps) is (run == 2), gaps
        assert len(gaps) >= 3
        assert container == "mpegts" or not any(item.gap for item in playlists["audio"].segments)
        assert ("write_failed" in seen) is (run == 2)
    assert "deleted what is no longer listed" in seen["storage_full"]
    assert any("was dropped early" in value for value in seen["storage_full"])
    assert any("segment lost" in value for value in seen["write_failed"])
    told = [record.__dict__["fields"]["alert"] for record in caplog.records if hasattr(record, "fields")]
    assert sorted(told) == sorted(seen), "a line for each alert, and no more"
    assert not list(bench.directory.glob("**/.tmp*"))
