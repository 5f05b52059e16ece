"""A media root that holds up who writes to it: what is published is whole, and an alert tells."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.media.alerts import Alert
from appliance.media.package.rendition import Rendition
from appliance.media.storage import SLOW_WRITE_S
from appliance.secrets.keyring import Keyring
from tests.unit.media.package.handmade import STARTED, pictures
from tests.unit.media.package.published import Workbench, options

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, which can be frozen."""
    image, root = tmp_path / "disk", tmp_path / "root"
    root.mkdir()
    with image.open("wb") as file:
        file.truncate(16 << 20)
    commands = (["mkfs.ext4", "-q", str(image)], ["mount", "-o", "loop", str(image), str(root)])
    for command in commands:
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
            pytest.skip("mounting a disk image needs root and a loop device")
    yield root
    subprocess.run(["umount", str(root)], check=True)


def test_writes_that_are_held_up_are_an_alert(disk: Path) -> None:
    bench = Workbench(disk, Keyring.create(b"m" * 32), options(segment=1, window=6))
    packager = bench.packager()
    packager.begin([Rendition("720p", "video")], started_at=STARTED)
    video = pictures()
    packager.feed("720p", video.init() + video.seconds(3))
    assert packager.alerts.active() == frozenset()
    for _ in range(Alert.SLOW_WRITES.value.least):
        assert packager.alerts.active() == frozenset()
        # A write to a frozen file system waits until it thaws (fsfreeze(8)).
        subprocess.run(["fsfreeze", "--freeze", str(disk)], check=True)
        thaw = threading.Timer(
            2 * SLOW_WRITE_S, subprocess.run, [["fsfreeze", "--unfreeze", str(disk)]], {"check": True}
        )
        thaw.start()
        begun = time.monotonic()
        try:
            packager.feed("720p", video.seconds(1))
        finally:
            thaw.join()
        assert time.monotonic() - begun >= SLOW_WRITE_S
    assert packager.alerts.active() == {Alert.SLOW_WRITES}
    [shown] = packager.alerts.describe()
    assert float(shown["value"].split()[0]) >= SLOW_WRITE_S
    packager.end_run()
    assert not any(item.gap for item in bench.check(packager.epoch)["720p"].segments)
