"""The role's password.sh and a rotation write the same line into Valkey's file of users."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from appliance.ops import valkey_password
from appliance.secrets.credentials import locked
from appliance.secrets.dated_secrets import DatedSecrets

SCRIPT = Path(__file__).parents[3] / "roles/valkey/files/password.sh"


class State:
    """Stands in for a Valkey that takes everything."""

    def __init__(self) -> None:
        self.client = self
        self.commands: list[tuple[str, ...]] = []

    async def execute_command(self, *words: str) -> None:
        self.commands.append(words)


def play(password: Path, users: Path) -> str:
    """Return what the role's script says that it would do."""
    environment = {**os.environ, "PASSWORD_FILE": str(password), "ACL_FILE": str(users), "CHECK": "yes"}
    done = subprocess.run(["sh", str(SCRIPT)], env=environment, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file to another group")
def test_a_rotated_password_is_nothing_new_to_the_role(tmp_path: Path) -> None:
    password, users = tmp_path / "valkey-password", tmp_path / "users.acl"
    password.write_text("a-new-one created=2026-01-01T00:00:00+00:00\n")
    users.write_text("of before\n")
    state: Any = State()
    asyncio.run(valkey_password.allow_only(state, ["a-new-one"], users))
    written = users.read_text()
    assert (play(password, users), users.read_text()) == ("", written)
    [command] = state.commands
    assert command[:4] == ("ACL", "SETUSER", "default", "resetpass")
    assert command[4] in written
    assert "a-new-one" not in " ".join(command) + written


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file to another group")
def test_a_rotation_that_was_cut_short_takes_no_password_away_and_nor_does_the_role(tmp_path: Path) -> None:
    """A running service may hold any of them: only a rotation that is through ends the others."""
    password, users = tmp_path / "valkey-password", tmp_path / "users.acl"
    password.write_text("first\n")
    users.write_text("of before\n")
    state: Any = State()
    for texts in (["first"], ["second", "first"], ["third", "first"]):
        asyncio.run(valkey_password.allow(state, texts, users))
    hashes = {f"#{hashlib.sha256(text.encode()).hexdigest()}" for text in ("first", "second", "third")}
    assert set(state.commands[-1][3:]) == hashes
    written = users.read_text()
    assert set(written.split()) > hashes
    assert (play(password, users), users.read_text()) == ("", written)
    # Another password, drawn or written by hand, is alone; so it is when anything else stands in the file.
    password.write_text("fourth\n")
    assert play(password, users) == "changed\n"
    password.write_text("first\n")
    for other in (f"{written}user other on nopass\n", written.replace("on", "on nopass", 1), ""):
        users.write_text(other)
        assert play(password, users) == "changed\n"


def test_one_that_is_drawn_is_newer_than_all_before(tmp_path: Path) -> None:
    """Else the control service would take back what it finds in Valkey, which no longer lets it in."""
    password, began = tmp_path / "credentials" / "valkey-password", datetime.now(UTC)
    environment = {**os.environ, "PASSWORD_FILE": str(password), "ACL_FILE": str(tmp_path / "users.acl")}
    # This machine may have no group for the second file.
    subprocess.run(["sh", str(SCRIPT)], env={**environment, "CHECK": "no"}, capture_output=True, check=False)
    drawn = DatedSecrets.parse(password.read_text())
    assert len(bytes.fromhex(drawn.newest.text)) == 32
    assert drawn.created is not None
    assert began - timedelta(milliseconds=1) <= drawn.created <= datetime.now(UTC)


def test_the_role_waits_for_a_rotation(tmp_path: Path) -> None:
    password, users = tmp_path / "valkey-password", tmp_path / "users.acl"
    password.write_text("first\n")
    with ThreadPoolExecutor(1) as pool:
        with locked(tmp_path):
            waiting = pool.submit(play, password, users)
            with pytest.raises(TimeoutError):
                waiting.result(0.3)
        assert waiting.result(10) == "changed\n"
