"""View token keys that are rotated while services run: on two hosts nobody is turned away."""

from __future__ import annotations

import asyncio
import json
import signal
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.errors import EX_CONFIG, OperatorError
from appliance.ops.fleet_secrets import FleetSecrets
from appliance.secrets.keyring import Keyring
from appliance.secrets.rotating import read_newest
from appliance.state.events import Events
from appliance.state.shared_secrets import Sealed, SharedSecrets
from appliance.state.valkey import State
from tests.integration.control.conftest import eventually

if TYPE_CHECKING:
    from appliance.secrets.rotating import Rotating

from tests.integration.control.secrets.hosts import VALKEY, VIEW, Host, command, noted, token


async def test_a_token_key_is_good_on_every_host_before_it_signs_and_ends_after_its_grace(
    here: Host, there: Host
) -> None:
    before = here.keys()
    old = token(before)
    assert [await here.view(old), await there.view(old)] == [204, 204]
    await here.rotation().rotate(VIEW, grace=timedelta(seconds=3))
    new = token(here.keys())
    assert new.partition(".")[0] != old.partition(".")[0]
    # at once: nothing is waited for
    assert [await there.view(new), await here.view(new)] == [204, 204]
    assert [await there.view(old), await here.view(old)] == [204, 204]

    async def ended() -> bool:
        return [await here.view(old), await there.view(old)] == [401, 401]

    await eventually(ended)
    assert [await here.view(new), await there.view(new)] == [204, 204]
    # nothing was restarted for it, and no secret stands in a log
    for host in (here, there):
        log = host.control.log.read_text()
        assert host.control.process is not None
        assert host.control.process.returncode is None
        assert all(key.secret.hex() not in log for key in here.keys().keys.values())


def rotate_in_thread(host: Host) -> None:
    """As the command of a host does, while that of another one does the same."""

    async def rotate() -> None:
        state = State(Path(host.rotation().known.valkey_socket), read_newest(host.credentials, VALKEY))
        try:
            await replace(host.rotation(), state=state).rotate(VIEW)
        finally:
            await state.close()

    asyncio.run(rotate())


async def test_one_host_makes_a_new_one_and_the_others_take_it_over(here: Host, there: Host) -> None:
    await here.rotation().rotate(VIEW)
    assert there.keys().current != here.keys().current
    await there.rotation().rotate(VIEW)
    assert there.keys() == here.keys()
    await there.rotation().rotate(VIEW)
    assert there.keys().current != here.keys().current
    # who issues tokens meanwhile signs with what the others have
    assert await here.rotation().take_over(VIEW) == there.keys() == here.keys()
    events = [entry.event for entry, _ in await Events(here.state).newest(10)]
    assert [event.type for event in events] == ["key.rotated"] * 2
    assert f'"kid": "{here.keys().current}"' in events[-1].body
    # two in the same moment end with the same one
    before = token(here.keys())
    await asyncio.gather(*(asyncio.to_thread(rotate_in_thread, host) for host in (here, there)))
    assert here.keys() == there.keys()
    for host in (here, there):
        assert [await host.view(text) for text in (before, token(here.keys()))] == [204, 204]


async def test_one_that_leaked_ends_also_when_another_host_has_replaced_it_already(
    here: Host, there: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one left it good for a day: to take that over would be no answer to a leak."""
    leaked = token(here.keys())
    await there.rotation().rotate(VIEW)
    assert [await here.view(leaked), await there.view(leaked)] == [204, 204]
    await here.rotation().rotate(VIEW, grace=timedelta(0))
    assert [await here.view(leaked), await there.view(leaked)] == [401, 401]
    assert [await here.view(token(here.keys())), await there.view(token(here.keys()))] == [204, 204]
    assert len(here.keys().keys) == 1
    # nor is it one when the other host does so in the same moment
    leaked = token(here.keys())
    looked, turns = FleetSecrets.newer, iter([there.rotation()])

    async def beaten(self: FleetSecrets, name: str, present: Rotating) -> Rotating | None:
        found = await looked(self, name, present)
        for other in turns:
            await other.rotate(VIEW)
        return found

    monkeypatch.setattr(FleetSecrets, "newer", beaten)
    await here.rotation().rotate(VIEW, grace=timedelta(0))
    assert [await here.view(leaked), await there.view(leaked)] == [401, 401]
    assert await there.view(token(here.keys())) == 204


async def test_a_service_that_hangs_keeps_the_old_key_in_use_and_one_that_is_away_does_not(
    here: Host, there: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.ops.rotation.HELD_WITHIN_SECONDS", 4)
    before = here.keys()
    await eventually(lambda: noted(here, "there"))
    there.control.send(signal.SIGSTOP)
    with pytest.raises(OperatorError, match="control service of there did not take"):
        await here.rotation().rotate(VIEW)
    assert here.keys() == before
    there.control.send(signal.SIGCONT)
    monkeypatch.undo()
    await here.rotation().rotate(VIEW)
    assert here.keys().current != before.current
    assert await there.view(token(here.keys())) == 204
    assert len(here.keys().keys) == 2  # the same new one, not another
    # nor is one that is away waited for; it has the new one when it starts
    await there.control.end(signal.SIGTERM)
    await here.rotation().rotate(VIEW)
    await there.control.up()
    assert await there.view(token(here.keys())) == 204


async def test_tokens_are_signed_with_the_newest_key_or_not_at_all(here: Host, there: Host) -> None:
    await there.rotation().rotate(VIEW)
    status, out, _ = await command(here, "tokens", "issue", "demo", "--json")
    assert status == 0
    assert await there.view(json.loads(out)["token"]) == 204
    assert json.loads(out)["token"].partition(".")[0] == token(there.keys()).partition(".")[0]
    # sealed by a host that was given another master key
    before, newer = here.keys(), here.keys().rotated(timedelta(0))
    sealed = Sealed.seal(VIEW, newer.version, newer.dumps(), Keyring.create())
    assert await SharedSecrets(here.state).offer(sealed, instead_of=before.version)
    status, out, error = await command(here, "tokens", "issue", "demo", "--json")
    assert (status, out) == (EX_CONFIG, "")
    assert "sealed with another master key" in error
    assert here.keys() == before
