"""The runbook's commands to Valkey do, on a Valkey with the role's configuration, what they are named for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import appliance.ops.doctor
from appliance.secrets.making import make_missing
from appliance.secrets.rotating import read_newest
from tests.integration.control.processes import Valkey
from tests.support import debian

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RUNBOOK = Path(appliance.ops.doctor.__path__[0], "RUNBOOK.md")
MENDS = sorted(set(re.findall(r"appliance valkey ((?:[A-Z]+ ?)+)", RUNBOOK.read_text())))


class Asked:
    """`appliance valkey` as on a host, of a Valkey that runs."""

    def __init__(self, directory: Path, valkey: Valkey) -> None:
        self._directory = directory
        self.valkey = valkey
        (directory / "appliance.yml").write_text(f"valkey_socket: {valkey.socket}\n")
        root = debian.unpacked("valkey-trixie", "valkey-server")
        if root is not None:
            shim = directory / "bin" / "valkey-cli"
            shim.parent.mkdir()
            shim.write_text(f'#!/bin/sh\nexec {" ".join(debian.program(root, "usr/bin/valkey-cli"))} "$@"\n')
            shim.chmod(0o755)

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run it."""
        code = "from appliance.cli.main import main; main()"
        places = (
            "--settings",
            f"{self._directory}/appliance.yml",
            "--directory",
            f"{self._directory}/credentials",
        )
        return subprocess.run(
            [sys.executable, "-c", code, "valkey", *places, *words],
            env=os.environ | {"PATH": f"{self._directory}/bin:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
async def asked(tmp_path: Path) -> AsyncIterator[Asked]:
    make_missing(tmp_path / "credentials", None)
    valkey = Valkey(tmp_path / "valkey", read_newest(tmp_path / "credentials", "valkey-password"))
    await valkey.up()
    yield Asked(tmp_path, valkey)
    await valkey.end()


def test_the_runbook_has_some() -> None:
    assert len(MENDS) >= 3


@pytest.mark.parametrize("words", MENDS)
async def test_what_the_runbook_says(asked: Asked, words: str) -> None:
    done = asked(*words.split())
    assert (done.returncode, done.stderr) == (0, "")
    assert "ERR" not in done.stdout
    assert "NOAUTH" not in done.stdout


async def test_a_replica_is_a_primary_again(asked: Asked) -> None:
    assert asked("REPLICAOF", "127.0.0.1", "7777").stdout == "OK\n"
    assert "role:slave" in asked("INFO", "replication").stdout
    assert asked("REPLICAOF", "NO", "ONE").stdout == "OK\n"
    assert "role:master" in asked("INFO", "replication").stdout
