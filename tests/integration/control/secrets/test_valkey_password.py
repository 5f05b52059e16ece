"""Valkey's own password, rotated while everybody uses it."""

from __future__ import annotations

import asyncio
import hashlib
import re
import signal
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from appliance.errors import OperatorError
from appliance.secrets.credentials import replace_credential
from appliance.secrets.rotating import read_lines, read_newest
from appliance.state.shared_secrets import SharedSecrets
from appliance.state.valkey import State, StateUnavailableError
from tests.integration.control.conftest import eventually
from tests.integration.control.secrets.hosts import VALKEY, Host, noted

if TYPE_CHECKING:
    from tests.integration.control.conftest import Site


async def test_valkeys_password_changes_while_everybody_uses_it(site: Site, here: Host) -> None:
    old = site.password
    await here.rotation().rotate(VALKEY)
    new = read_newest(here.credentials, VALKEY)
    assert len(read_lines(here.credentials, VALKEY).entries) == 1
    assert old not in (here.credentials / VALKEY).read_text()
    refused = State(site.valkey.socket, old)
    with pytest.raises(StateUnavailableError):
        await refused.ping()
    await refused.close()
    # A restart takes what the file of users says; the service connects anew, with the new password.
    await site.valkey.end()
    await site.valkey.up()

    async def counted() -> bool:
        return (await site.ask("publish", "demo")).status_code == 200

    await eventually(counted)
    accepted = State(site.valkey.socket, new)
    await accepted.ping()
    await accepted.close()


async def test_a_password_that_was_lost_and_drawn_anew_comes_with_a_start(site: Site, here: Host) -> None:
    """`site.yml` gives the new one to Valkey and restarts it; the service is told nothing."""
    await eventually(lambda: noted(here, "here"))
    new = "e" * 64
    replace_credential(here.credentials / VALKEY, f"{new} created={datetime.now(UTC).isoformat()}\n")
    digest = hashlib.sha256(new.encode()).hexdigest()
    here.acl.write_text(f"user default on sanitize-payload #{digest} ~* &* +@all\n")
    await site.valkey.end()
    await site.valkey.up()
    assert site.control.process is not None
    assert await asyncio.wait_for(site.control.process.wait(), 20) in {0, -signal.SIGTERM}
    [said] = [line for line in site.control.events("secrets") if line["action"] == "ending"]
    assert "systemd starts it again with the one on disk" in said["reason"]
    assert new not in site.control.log.read_text()
    await site.control.up()
    assert (await site.ask("publish", "demo")).status_code == 200


async def test_a_rotation_of_valkeys_password_that_is_cut_short_shuts_nobody_out(
    site: Site, here: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(*_: object, **__: object) -> bool:
        raise StateUnavailableError("Valkey: it went away")

    with monkeypatch.context() as cut:
        cut.setattr(SharedSecrets, "offer", silent)
        with pytest.raises(StateUnavailableError):
            await here.rotation().rotate(VALKEY)
    # The service hangs: what it is offered it does not take, and what it holds it will show.
    await eventually(lambda: noted(here, "here"))
    site.control.send(signal.SIGSTOP)
    with monkeypatch.context() as cut:
        cut.setattr("appliance.ops.rotation.HELD_WITHIN_SECONDS", 0.3)
        for grace in (None, None, timedelta(0)):
            with pytest.raises(OperatorError, match="Valkey takes both"):
                await here.rotation().rotate(VALKEY, grace=grace)
    # commands and units that start show what is on disk, and Valkey forgets what its file does not have
    assert read_newest(here.credentials, VALKEY) == site.password
    await site.valkey.end()
    await site.valkey.up()
    await here.state.ping()
    site.control.send(signal.SIGCONT)

    async def counted() -> bool:
        return (await site.ask("publish", "demo")).status_code == 200

    await eventually(counted)
    # The same command is through with it, and ends all but the new one.
    await here.rotation().rotate(VALKEY)
    new = read_newest(here.credentials, VALKEY)
    hashes = re.findall(r"#([0-9a-f]{64})", here.acl.read_text())
    assert hashes == [hashlib.sha256(new.encode()).hexdigest()]
    old = State(site.valkey.socket, site.password)
    with pytest.raises(StateUnavailableError):
        await old.ping()
    await old.close()
