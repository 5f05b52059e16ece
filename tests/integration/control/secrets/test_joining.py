"""A host that joins others, or has lost its files, has what is in use, and what it draws replaces nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from appliance.errors import EX_CONFIG, EX_UNAVAILABLE
from appliance.secrets.credentials import replace_credential
from appliance.secrets.keyring import Keyring
from appliance.secrets.making import make_missing
from appliance.secrets.rotating import read_lines, read_newest
from appliance.state.shared_secrets import SharedSecrets
from tests.integration.control.conftest import Service, Site, eventually
from tests.integration.control.secrets.hosts import (
    ADMIN,
    READER,
    VALKEY,
    VIEW,
    WEBHOOK,
    Host,
    command,
    connected,
    noted,
    token,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.integration.control.processes import Valkey

KEYRING, PEPPER = "content-keyring", "stream-key-pepper"
ALL = {KEYRING, VALKEY, READER, PEPPER, ADMIN, VIEW, WEBHOOK}
CHOSEN = "a-secret-of-the-customer"


async def init(host: Host, *options: str, given: str = "") -> dict[str, Any]:
    """What the role's command made on a host."""
    status, out, error = await command(host, "credentials", "init", "--json", *options, given=given)
    assert status == 0, error
    return dict(json.loads(out))


def texts(host: Host, *names: str) -> list[str]:
    return [(host.credentials / name).read_text() for name in names]


def forget(host: Host, *names: str) -> None:
    for name in names:
        (host.credentials / name).unlink()


async def shared(host: Host) -> dict[str, str]:
    """What stands in Valkey for all."""
    found = await SharedSecrets(host.state).all()
    return {name: found[name] for name in (VIEW, WEBHOOK)}


async def test_a_host_that_joins_after_a_rotation_has_what_the_others_have(here: Host, joining: Host) -> None:
    old = token(here.keys())
    for name in (VIEW, WEBHOOK):
        await here.rotation().rotate(name)
    before = await shared(here)
    assert set((await init(joining))["made"]) == ALL - {KEYRING, VALKEY}
    # with the old ones, which are in their grace
    assert texts(joining, VIEW, WEBHOOK) == texts(here, VIEW, WEBHOOK)
    # a stream key that one of them made is good on both
    assert texts(joining, PEPPER) == texts(here, PEPPER)
    # those between the parts of one host are its own
    assert not set(texts(joining, ADMIN, READER)) & set(texts(here, ADMIN, READER))
    assert (await init(joining))["changed"] is False
    await joining.control.up()
    for host in (here, joining):
        assert [await host.view(text) for text in (old, token(joining.keys()))] == [204, 204]
    assert await shared(here) == before
    # Another rotation, of which its disk does not know, and a run of the playbook: nothing old comes back.
    await here.rotation().rotate(VIEW)
    assert (await init(joining))["changed"] is False
    await joining.control.end()
    await joining.control.up()
    for host in (here, joining):
        assert await host.view(token(here.keys())) == 204


async def test_a_host_that_has_lost_its_files_gets_them_back(site: Site, here: Host) -> None:
    """Also what nobody has rotated yet, or ever does: the control service has it."""
    lost = (READER, ADMIN, VIEW, WEBHOOK, PEPPER)
    before = texts(here, *lost)
    await eventually(lambda: noted(here, "here"))
    forget(here, *lost)
    assert set((await init(here))["made"]) == set(lost)
    assert texts(here, *lost) == before
    await here.rotation().rotate(ADMIN)
    forget(here, *lost)
    await init(here)
    # nothing was restarted for it, and what runs goes on: its reader shows what it always has
    assert await here.administer(read_newest(here.credentials, ADMIN)) == 200
    assert (await site.ask("play", "demo", reader=site.secret)).status_code == 200
    assert await here.view(token(here.keys())) == 204
    assert (await init(here))["changed"] is False


async def test_what_was_drawn_without_a_question_gives_way(here: Host, joining: Host) -> None:
    """As an older release did, or a command while Valkey was away. Neither side has rotated anything yet."""
    make_missing(joining.credentials, None)
    await eventually(lambda: noted(here, "here"))
    before, drawn = await shared(here), token(joining.keys())
    await joining.control.up()
    assert [await host.view(token(here.keys())) for host in (here, joining)] == [204, 204]
    assert [await host.view(drawn) for host in (here, joining)] == [401, 401]
    assert await shared(here) == before
    # But its pepper made the digests of its stream keys: it stays, and is said to be another one.
    [said] = joining.control.events("secrets")[-1:]
    assert (said["action"], said["secret"]) == ("refused", PEPPER)
    assert texts(joining, PEPPER)[0].strip() not in joining.control.log.read_text()
    assert texts(joining, PEPPER) != texts(here, PEPPER)
    # Its disk has the others with its next rotation at the latest.
    for name in (VIEW, WEBHOOK):
        await joining.rotation().rotate(name)
    assert texts(joining, VIEW, WEBHOOK) == texts(here, VIEW, WEBHOOK)


async def test_a_secret_that_the_operator_gives_comes_in_front_of_what_the_fleet_has(
    here: Host, joining: Host
) -> None:
    await here.rotation().rotate(WEBHOOK)
    newest, before = read_lines(here.credentials, WEBHOOK).entries
    await init(joining, "--webhook-secret-stdin", given=CHOSEN)
    found = read_lines(joining.credentials, WEBHOOK)
    assert [item.text for item in found.entries] == [CHOSEN, newest.text, before.text]
    assert found.entries[2].ends == before.ends
    # the same one given to a host that has fallen behind
    await joining.control.up()
    await init(here, "--webhook-secret-stdin", given=CHOSEN)
    assert texts(here, WEBHOOK) == texts(joining, WEBHOOK)
    forget(here, WEBHOOK)
    await init(here, "--webhook-secret-stdin", given=CHOSEN)
    assert texts(here, WEBHOOK) == texts(joining, WEBHOOK)


@pytest.fixture
async def both(valkey: tuple[Valkey, str], tmp_path: Path) -> AsyncIterator[list[Host]]:
    """Two hosts with one Valkey and one master key, on which nothing runs yet."""
    server, password = valkey
    async with contextlib.AsyncExitStack() as stack:
        hosts, keyring = [], Keyring.create().dumps()
        for name in ("here", "there"):
            files = tmp_path / name
            (files / "credentials").mkdir(parents=True)
            replace_credential(files / "credentials" / KEYRING, keyring)
            replace_credential(files / "credentials" / VALKEY, password)
            settings = {"node": name, "valkey_socket": str(server.socket)}
            (files / "appliance.yml").write_text(yaml.safe_dump(settings))
            state = await stack.enter_async_context(connected(server.socket, files))
            hosts.append(Host(name, files, Service([], files), state))
        yield hosts


async def test_hosts_that_begin_together_agree(both: list[Host]) -> None:
    made = await asyncio.gather(*map(init, both))
    assert [set(one["made"]) for one in made] == [ALL - {KEYRING, VALKEY}] * 2
    here, there = both
    assert texts(here, VIEW, WEBHOOK, PEPPER) == texts(there, VIEW, WEBHOOK, PEPPER)
    assert not set(texts(here, ADMIN, READER)) & set(texts(there, ADMIN, READER))
    # older than whatever a rotation makes
    assert (here.keys().version, read_lines(here.credentials, WEBHOOK).version) == (0, 0)
    assert [(await init(host))["changed"] for host in both] == [False, False]


async def test_while_valkey_is_away_none_is_drawn(valkey: tuple[Valkey, str], both: list[Host]) -> None:
    here, _ = both
    await valkey[0].end()
    status, out, error = await command(here, "credentials", "init", "--json")
    assert (status, out, "Traceback" in error) == (EX_UNAVAILABLE, "", False)
    assert "systemctl restart valkey-server" in error
    assert not (here.credentials / VIEW).exists()
    # what is there needs no question, and the same call goes on when Valkey is back
    await valkey[0].up()
    await init(here)
    await valkey[0].end()
    assert (await init(here))["changed"] is False


async def test_what_another_host_uses_and_this_one_cannot_open_is_replaced_by_nothing(
    both: list[Host],
) -> None:
    here, there = both
    await init(here)
    replace_credential(there.credentials / KEYRING, Keyring.create().dumps())
    notes, before = SharedSecrets(here.state), await shared(here)
    await notes.note_held("here", {VIEW: 0, WEBHOOK: 0})
    status, out, error = await command(there, "credentials", "init", "--json")
    assert (status, out) == (EX_CONFIG, "")
    assert "sealed with another master key, or changed since (in Valkey, which here may use)" in error
    assert "HLS_ENCRYPTION_KEY" in error
    assert not (there.credentials / VIEW).exists()
    # Nobody else runs: as on a host that has lost its master key too. Nobody can open it any more.
    await notes.forget_held("here")
    await init(there)
    after = await shared(here)
    assert all(after[name] != before[name] for name in (VIEW, WEBHOOK))
    forget(there, VIEW, WEBHOOK)
    keys = there.rotation()
    await init(there)
    assert await keys.take_over(VIEW) == there.keys()
    assert there.keys().version > 0
