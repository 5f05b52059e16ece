"""Viewers of a service whose Valkey counts them, dies and hangs: who has a token watches on."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from appliance.control.view.session_limit import RETRY_SECONDS
from appliance.control.view.tokens import ViewToken, issue
from appliance.secrets.credentials import replace_credential
from appliance.secrets.token_keys import TokenKeys
from appliance.state.valkey import COMMAND_SECONDS
from tests.integration.control.conftest import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.control.conftest import Site


@pytest.fixture
def settings() -> dict[str, Any]:
    """Two sessions for each viewer."""
    return {
        "reconcile_seconds": 0.5,
        "lease_seconds": 10,
        "view_policy": "token",
        "view_sessions_per_viewer": 2,
    }


@pytest.fixture
def keys(site: Site, tmp_path: Path) -> TokenKeys:
    """What the service signs with."""
    assert site.control.process is not None
    return TokenKeys.load(tmp_path / "credentials" / "view-token-keys")


async def ask(site: Site, keys: TokenKeys, session: str) -> int:
    """The answer about a session of the viewer anna."""
    now = time.time()
    text = issue(keys, ViewToken(stream="demo", expires=now + 60, viewer="anna", session=session), now=now)
    headers = {"X-Stream": "demo", "X-View-Token": text, "X-Real-IP": "192.0.2.7"}
    return (await site.http.get("/auth/view", headers=headers)).status_code


async def test_sessions_are_counted_while_valkey_lives(site: Site, keys: TokenKeys) -> None:
    assert [await ask(site, keys, name) for name in ("tv", "phone", "laptop", "tv")] == [204, 204, 403, 204]
    await site.valkey.end()
    assert [await ask(site, keys, name) for name in ("laptop", "tablet", "watch")] == [204] * 3
    assert (await site.http.get("/auth/view", headers={"X-Stream": "demo"})).status_code == 401
    said = [line for line in site.control.events("view_sessions") if line["action"] == "waiting"]
    assert len(said) == 1


async def test_a_frozen_valkey_holds_up_one_viewer_at_a_time(site: Site, keys: TokenKeys) -> None:
    assert await ask(site, keys, "tv") == 204
    site.valkey.send(signal.SIGSTOP)

    async def timed(session: str) -> float:
        """Seconds until the yes."""
        began = time.monotonic()
        assert await ask(site, keys, session) == 204
        return time.monotonic() - began

    waits = [await timed(str(number)) for number in range(50)]
    held_up = [wait for wait in waits if wait > COMMAND_SECONDS * 0.9]
    assert waits[0] in held_up
    assert max(waits) < 5
    # then Valkey is left alone for a while: however slow this machine is, most find it so
    assert len(held_up) <= 1 + sum(waits) / RETRY_SECONDS
    site.valkey.send(signal.SIGCONT)

    async def refused() -> bool:
        return await ask(site, keys, "laptop") == 403 or await ask(site, keys, "tablet") == 403

    await eventually(refused, seconds=20)
    assert site.control.events("view_sessions")[-1]["action"] == "recovered"


async def test_broken_keys_start_no_service(site: Site, tmp_path: Path) -> None:
    await site.control.end()
    replace_credential(tmp_path / "credentials" / "view-token-keys", "{}")
    await site.control.start()
    assert site.control.process is not None
    assert await site.control.process.wait() == 78
    assert "view-token-keys" in site.control.log.read_text()
