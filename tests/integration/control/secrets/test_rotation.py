"""What is shared through Valkey, and the command behind the timers."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

from appliance.media.stream_socket import listening
from appliance.secrets.keyring import Keyring
from appliance.secrets.rotating import read_newest
from appliance.state.shared_secrets import SECRETS
from tests.integration.control.conftest import Site, eventually
from tests.support.key_user import Stream
from tests.support.stub_backend import StubBackend

if TYPE_CHECKING:
    pass

from tests.integration.control.secrets.hosts import ADMIN, READER, VALKEY, VIEW, WEBHOOK, Host, command, token


async def test_what_stands_in_valkey_opens_nothing(here: Host) -> None:
    await here.rotation().rotate(VIEW)
    stored = str(await here.state.client.hgetall(SECRETS))  # type: ignore[misc]
    secrets = [key.secret.hex() for key in here.keys().keys.values()]
    secrets += [read_newest(here.credentials, name) for name in (WEBHOOK, READER, ADMIN, VALKEY)]
    assert all(secret not in stored for secret in secrets)
    # nor does what somebody else has written there become a key
    [field] = [stored async for name, stored in here.state.client.hscan_iter(SECRETS) if name == VIEW]
    version, _, rest = field.partition(".")
    await here.state.client.hset(SECRETS, VIEW, f"{int(version) + 1}.{rest}")  # type: ignore[misc]
    await eventually(lambda: here.control.events("secrets")[-1].get("action") == "refused")
    assert await here.view(token(here.keys())) == 204


async def test_internal_secrets_change_under_a_running_service(site: Site, here: Host, there: Host) -> None:
    old_admin, old_reader = (read_newest(here.credentials, name) for name in (ADMIN, READER))
    await here.rotation().rotate(ADMIN, grace=timedelta(seconds=2))
    new_admin = read_newest(here.credentials, ADMIN)
    assert new_admin != old_admin
    assert [await here.administer(old_admin), await here.administer(new_admin)] == [200, 200]
    # of this host alone
    assert [await there.administer(old_admin), await there.administer(new_admin)] == [200, 401]
    keyring, handed = Keyring.load(here.credentials / "content-keyring"), list[str]()
    (here.files / "run" / "demo").mkdir(parents=True)
    async with listening(here.files / "run" / "demo", Stream(keyring), keyring, handed.append):
        await here.rotation("demo").rotate(READER, grace=timedelta(seconds=2))
    new_reader = read_newest(here.credentials, READER)
    assert handed == [new_reader]
    for reader in (old_reader, new_reader):
        assert (await site.ask("play", "demo", reader=reader)).status_code == 200

    async def ended() -> bool:
        refused = (await site.ask("play", "demo", reader=old_reader)).status_code == 403
        return refused and await here.administer(old_admin) == 401

    await eventually(ended)
    assert (await site.ask("play", "demo", reader=new_reader)).status_code == 200


async def test_the_command_behind_the_timers(site: Site, here: Host, backend: StubBackend) -> None:
    before = read_newest(here.credentials, ADMIN)
    systemctl = here.files / "bin" / "systemctl"
    systemctl.parent.mkdir()
    systemctl.write_text("#!/bin/sh\nexit 0\n")  # no stream runs, and the service starts anew
    systemctl.chmod(0o755)

    async def call(*arguments: str) -> tuple[int, str]:
        status, out, error = await command(here, "secrets", "rotate", *arguments, f"--acl-file={here.acl}")
        return status, out + error

    status, said = await call("internal")
    assert (status, said.count(": a new one is in use\n")) == (0, 3)
    after = read_newest(here.credentials, ADMIN)
    assert after != before
    assert (await call("master-key"))[0] == 0
    await eventually(lambda: any(b"key.rotated" in one.body for one in backend.requests))
    data = json.loads(backend.requests[-1].body)["data"]
    assert data == {"key": "master-key", "generation": 2, "host": "here"}
    status, said = await call("stream-key-pepper")
    assert (status, "allowed are content-keys" in said) == (64, True)
    await site.valkey.end()
    status, said = await call(VIEW)
    assert (status, "Traceback" in said) == (69, False)
    assert after == read_newest(here.credentials, ADMIN)
