"""The file system of a container."""

from __future__ import annotations

import os
import stat
import subprocess
from typing import TYPE_CHECKING

from appliance.lab import nspawn
from appliance.lab.checkout import LabPaths

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_every_user_of_the_guest_may_enter_its_root_whatever_the_callers_umask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mounted(argv: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.CompletedProcess(argv, 0)

    monkeypatch.setattr(subprocess, "run", mounted)
    paths = LabPaths(tmp_path, "demo")
    before = os.umask(0o077)
    try:
        nspawn._mount(paths, "a", tmp_path)
    finally:
        os.umask(before)
    modes = {part: stat.S_IMODE((paths.host("a") / part).stat().st_mode) for part in ("root", "upper")}
    assert modes == {"root": 0o755, "upper": 0o755}
    assert stat.S_IMODE(paths.host("a").stat().st_mode) == 0o700
