"""The role's password.sh and a rotation write the same line into Valkey's file of users."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from appliance.ops import valkey_password

SCRIPT = Path(__file__).parents[3] / "roles/valkey/files/password.sh"


class State:
    """Stands in for a Valkey that takes everything."""

    def __init__(self) -> None:
        self.client = self
        self.commands: list[tuple[str, ...]] = []

    async def execute_command(self, *words: str) -> None:
        self.commands.append(words)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file to another group")
def test_a_rotated_password_is_nothing_new_to_the_role(tmp_path: Path) -> None:
    password, users = tmp_path / "valkey-password", tmp_path / "users.acl"
    password.write_text("a-new-one created=2026-01-01T00:00:00+00:00\n")
    users.write_text("of before\n")
    state: Any = State()
    asyncio.run(valkey_password.allow(state, ["a-new-one"], users))
    written = users.read_text()
    environment = {**os.environ, "PASSWORD_FILE": str(password), "ACL_FILE": str(users), "CHECK": "yes"}
    done = subprocess.run(["sh", str(SCRIPT)], env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, users.read_text()) == ("", written)
    [command] = state.commands
    assert command[:4] == ("ACL", "SETUSER", "default", "resetpass")
    assert command[4] in written
    assert "a-new-one" not in " ".join(command) + written
