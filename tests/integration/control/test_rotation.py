"""Secrets that are rotated while services run: on two hosts that share one Valkey, nobody is turned away."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib.util
import json
import os
import re
import shutil
import signal
import sys
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from appliance.control.view.tokens import ViewToken, issue
from appliance.errors import EX_CONFIG, OperatorError
from appliance.media.stream_client import StreamClient
from appliance.media.stream_socket import listening
from appliance.names import StreamName
from appliance.ops.fleet_secrets import FleetSecrets
from appliance.ops.rotation import Rotation
from appliance.secrets.keyring import Keyring
from appliance.secrets.rotating import read_lines, read_newest
from appliance.secrets.token_keys import TokenKeys
from appliance.settings import Settings
from appliance.state.events import Event, Events
from appliance.state.shared_secrets import SECRETS, Sealed, SharedSecrets
from appliance.state.valkey import State, StateUnavailableError
from tests.integration.control.conftest import Service, Site, eventually
from tests.support.key_user import Stream
from tests.support.listening import free_port
from tests.support.stub_backend import Request, StubBackend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import ModuleType

    from appliance.secrets.rotating import Rotating

VIEW, WEBHOOK, READER = "view-token-keys", "webhook-secret", "rtmp-reader-secret"
ADMIN, VALKEY = "admin-token", "valkey-password"
EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "backend" / "verify.py"


@pytest.fixture
def settings(backend: StubBackend) -> dict[str, Any]:
    """Viewers need tokens, and there is a backend."""
    return {
        "allowed_stream_keys": ["demo"],
        "reconcile_seconds": 0.5,
        "lease_seconds": 10,
        "node": "here",
        "view_policy": "token",
        "http_callback_url": backend.url,
    }


@dataclass
class Host:
    """A control service with its credentials."""

    name: str
    files: Path
    control: Service
    state: State

    @property
    def credentials(self) -> Path:
        return self.files / "credentials"

    @property
    def acl(self) -> Path:
        return self.files / "valkey" / "users.acl"

    def rotation(self, *running: str) -> Rotation:
        known = Settings.load(self.files / "appliance.yml")
        streams = StreamClient(self.files / "run", units=lambda: {StreamName(name) for name in running})
        return Rotation(self.credentials, known, self.name, self.state, streams, self.acl, lambda _: None)

    def keys(self) -> TokenKeys:
        return TokenKeys.load(self.credentials / VIEW)

    async def view(self, token: str) -> int:
        headers = {"X-Stream": "demo", "X-View-Token": token, "X-Real-IP": "192.0.2.7"}
        return await self.get("/auth/view", headers)

    async def administer(self, token: str) -> int:
        return await self.get("/api/v1/streams", {"Authorization": f"Bearer {token}"})

    async def get(self, path: str, headers: dict[str, str]) -> int:
        async with httpx.AsyncClient(base_url=self.control.url, timeout=10, trust_env=False) as http:
            return (await http.get(path, headers=headers)).status_code


@contextlib.asynccontextmanager
async def connected(site: Site, files: Path) -> AsyncIterator[State]:
    state = State(site.valkey.socket, lambda: read_newest(files / "credentials", VALKEY))
    try:
        yield state
    finally:
        await state.close()


@pytest.fixture
async def here(site: Site, tmp_path: Path) -> AsyncIterator[Host]:
    async with connected(site, tmp_path) as state:
        yield Host("here", tmp_path, site.control, state)


@pytest.fixture
async def there(site: Site, here: Host, tmp_path: Path) -> AsyncIterator[Host]:
    """Another host, which was given the same secrets and has the same Valkey."""
    files, port = tmp_path / "there", free_port()
    files.mkdir()
    shutil.copytree(here.credentials, files / "credentials")
    values = yaml.safe_load((tmp_path / "appliance.yml").read_text()) | {"node": "there"}
    (files / "appliance.yml").write_text(yaml.safe_dump(values | {"media_root": str(files / "hls")}))
    command = [str(Path(sys.executable).with_name("appliance")), "control", "serve"]
    control = Service(
        [*command, "--settings", str(files / "appliance.yml"), "--listen", f"127.0.0.1:{port}"],
        files / "control",
        {
            "CREDENTIALS_DIRECTORY": str(files / "credentials"),
            "DBUS_SYSTEM_BUS_ADDRESS": site.bus.address,
        },
        port=port,
    )
    try:
        await control.up()
        async with connected(site, files) as state:
            yield Host("there", files, control, state)
    finally:
        await control.end()


def token(keys: TokenKeys) -> str:
    now = time.time()
    return issue(keys, ViewToken(stream="demo", expires=now + 60), now=now)


def verifier() -> ModuleType:
    """The example's, as a customer has it."""
    spec = importlib.util.spec_from_file_location("customers_verify", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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


async def test_a_service_that_hangs_keeps_the_old_key_in_use_and_one_that_is_away_does_not(
    here: Host, there: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.ops.rotation.HELD_WITHIN_SECONDS", 4)
    before = here.keys()
    await eventually(lambda: _noted(here, "there"))
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


async def _noted(host: Host, name: str) -> bool:
    return bool(await host.state.client.exists(f"appliance:secrets:held:{name}"))


async def test_the_webhook_is_good_before_during_and_after(here: Host, backend: StubBackend) -> None:
    customer, old = verifier(), read_newest(here.credentials, WEBHOOK)

    async def told() -> Request:
        """What the backend gets of an event that happens now."""
        event = Event.new("publish.started", "demo", {})
        await Events(here.state).add(event)

        def found() -> list[Request]:
            return [one for one in backend.requests if one.headers["webhook-id"] == event.identity]

        await eventually(found)
        return found()[0]

    def takes(request: Request, *secrets: str) -> list[bool]:
        return [_takes(customer, request, secret) for secret in secrets]

    request = await told()
    assert takes(request, old) == [True]
    assert customer.verify_body(request.headers["x-nginx-signature"], request.body, old)
    await here.rotation().rotate(WEBHOOK, grace=timedelta(seconds=6))
    new, before = read_lines(here.credentials, WEBHOOK).entries
    assert (before.text, new.text != old) == (old, True)
    request = await told()
    assert takes(request, old, new.text) == [True, True]
    # the header that has room for one: nobody can have told the customer of the new one yet
    assert customer.verify_body(request.headers["x-nginx-signature"], request.body, old)
    assert before.ends is not None
    await asyncio.sleep(before.ends.timestamp() - time.time())
    request = await told()
    assert takes(request, old, new.text) == [False, True]
    assert customer.verify_body(request.headers["x-nginx-signature"], request.body, new.text)
    rotated = [one for one in backend.requests if b"key.rotated" in one.body]
    assert len(rotated) == 1
    assert json.loads(rotated[0].body)["data"] == {"key": "webhook-secret", "host": "here"}


def _takes(customer: ModuleType, request: Request, secret: str) -> bool:
    try:
        customer.verify(request.headers, request.body, [secret])
    except customer.NotFromTheStreamingHostError:
        return False
    return True


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
    await eventually(lambda: _noted(here, "here"))
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


async def command(host: Host, *arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and error of `appliance` on a host."""
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("appliance")), *arguments),
        *(f"--settings={host.files / 'appliance.yml'}", f"--directory={host.credentials}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PATH": f"{host.files / 'bin'}:{os.environ['PATH']}"},
    )
    out, error = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), error.decode()


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
