"""The streams' unit: what systemd makes of it, and what may never be in it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.media.encode.encoder_memory import SHARED
from tests.unit.roles.conftest import Render

EXPOSURE = 2.5


@pytest.fixture
def unit(render: Render) -> str:
    """Give the unit as a host gets it."""
    return render("origin", "stream@.service.j2")


def values(unit: str, key: str) -> list[str]:
    """Return the values of a directive, in order."""
    return re.findall(rf"^{key}=(.*)$", unit, re.MULTILINE)


def test_is_confined(unit: str, tmp_path: Path) -> None:
    """`systemd-analyze security`, without a running systemd."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd on this machine: `files/bootstrap.sh lab` installs it")
    file = tmp_path / "stream@demo.service"
    # where this machine has no such program, the analysis stops before it begins
    file.write_text(re.sub(r"(?m)^(Exec\w+)=.*$", r"\1=/bin/true", unit))
    done = subprocess.run(
        [analyze, "security", "--no-pager", "--offline=true", f"--threshold={EXPOSURE * 10:.0f}", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_the_stream_s_own_folder_is_writable(unit: str) -> None:
    assert values(unit, "ProtectSystem") == ["strict"]
    assert values(unit, "ReadWritePaths") == ["-/srv/hls/%i"]


def test_the_encoder_is_remembered_until_the_next_boot(unit: str) -> None:
    assert values(unit, "RuntimeDirectory") == [f"{SHARED} {SHARED}/%i"]
    assert values(unit, "RuntimeDirectoryMode") == ["0750"]  # delivery connects to a socket there
    assert values(unit, "RuntimeDirectoryPreserve") == ["yes"]


def test_secrets_come_as_credentials(unit: str) -> None:
    names = [value.partition(":")[0] for value in values(unit, "LoadCredential")]
    assert names == ["content-keyring", "rtmp-reader-secret"]
    assert values(unit, "Environment") == []
    assert values(unit, "EnvironmentFile") == []


def test_the_name_never_reaches_root(unit: str) -> None:
    """Whatever runs outside the sandbox with the instance's name in it has given up root before."""
    for command in [*values(unit, "ExecStartPre"), *values(unit, "ExecStopPost")]:
        outside = "+" in command.partition("/")[0]
        if outside and "%i" in command:
            before = command.partition("%i")[0]
            assert "--reuid=appliance-stream" in before
            assert "--no-new-privs" in before


def test_a_failed_stream_is_tried_for_ever(unit: str) -> None:
    assert values(unit, "Restart") == ["on-failure"]
    assert values(unit, "StartLimitIntervalSec") == ["0"]
    assert float(values(unit, "RestartSec")[0]) < 1
    assert values(unit, "Type") == ["notify"]


def test_restarts_of_others_do_not_take_it_along(unit: str) -> None:
    for directive in ("Requires", "BindsTo", "PartOf"):
        assert values(unit, directive) == []


def test_the_memory_is_bounded(render: Render) -> None:
    mount = render("origin", "media.mount.j2", origin_media_size="25%")
    options = values(mount, "Options")[0].split(",")
    # systemd reads % as the beginning of a specifier
    assert "size=25%%" in options
    assert {"nosuid", "nodev", "noexec"} <= set(options)
