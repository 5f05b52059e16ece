"""The stream's socket and who asks it: two real ends, whatever is said on the wire."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import stat
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from appliance.media import stream_socket
from appliance.media.stream_client import KeyInUse, NoStreamError, StreamClient, StreamSilentError
from appliance.media.stream_socket import CONTROL_SOCKET, LONGEST_LINE, listening, socket_directory
from appliance.names import StreamName
from appliance.secrets.keyring import Keyring

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

DEMO = StreamName("demo")
MASTER = bytes(range(32))
SINCE = 1_767_322_800.0


@dataclass
class Packager:
    """What the socket asks for."""

    content_key: tuple[str, float] | None = ("1-" + "0" * 32, SINCE)
    rotations: int = 0
    keyrings: list[Keyring] = field(default_factory=list)

    def rotate_key(self) -> None:
        self.rotations += 1

    def replace_keyring(self, keyring: Keyring) -> None:
        self.keyrings.append(keyring)


@pytest.fixture(autouse=True)
def _room(tmp_path: Path) -> None:
    """As systemd makes it (RuntimeDirectory=)."""
    (tmp_path / DEMO).mkdir(mode=0o750)


@pytest.fixture
def packager() -> Packager:
    return Packager()


@pytest.fixture
def client(tmp_path: Path) -> StreamClient:
    return StreamClient(tmp_path, units=lambda: {DEMO}, start_seconds=5)


@pytest.fixture
async def path(tmp_path: Path, packager: Packager) -> AsyncIterator[Path]:
    async with listening(tmp_path / DEMO, packager, Keyring.create(MASTER)):
        yield tmp_path / DEMO / CONTROL_SOCKET


async def say(path: Path, *lines: bytes) -> list[dict[str, Any]]:
    """What the socket answers to `lines`."""
    reader, writer = await asyncio.open_unix_connection(path, limit=LONGEST_LINE)
    answers = []
    for line in lines:
        writer.write(line + b"\n")
        answers.append(json.loads(await reader.readline()))
    writer.close()
    return answers


@pytest.mark.usefixtures("path")
async def test_it_tells_rotates_and_takes_a_keyring(packager: Packager, client: StreamClient) -> None:
    before = await asyncio.to_thread(client.key, DEMO)
    assert before == KeyInUse(1, "1-" + "0" * 32, datetime.fromtimestamp(SINCE, UTC))
    assert await asyncio.to_thread(client.rotate, DEMO) == before
    assert packager.rotations == 1
    new = Keyring.create(MASTER).with_next().promoted()
    assert (await asyncio.to_thread(client.hand_over, DEMO, new)).generation == 2
    assert packager.keyrings == [new]
    packager.content_key = None
    assert await asyncio.to_thread(client.key, DEMO) == KeyInUse(2, None, None)


async def test_without_encryption_it_takes_no_keyring(
    tmp_path: Path, packager: Packager, client: StreamClient
) -> None:
    packager.content_key = None
    async with listening(tmp_path / DEMO, packager, None):
        assert await asyncio.to_thread(client.key, DEMO) == KeyInUse(None, None, None)
        with pytest.raises(StreamSilentError, match="not encrypted"):
            await asyncio.to_thread(client.hand_over, DEMO, Keyring.create())
    assert packager.keyrings == []


async def test_the_socket_is_for_its_owner_and_goes_with_the_process(
    tmp_path: Path, packager: Packager
) -> None:
    stale = tmp_path / DEMO / CONTROL_SOCKET
    stale.touch()  # of a process that was killed
    async with listening(tmp_path / DEMO, packager, None):
        assert stat.S_IMODE(stale.stat().st_mode) == 0o600
        assert stat.S_ISSOCK(stale.stat().st_mode)
    assert not stale.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
async def test_others_are_not_heard(path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Even where the modes let them in."""
    for folder in (tmp_path, *tmp_path.parents[:3], tmp_path / DEMO):
        folder.chmod(0o755)
    os.chmod(path, 0o666)  # noqa: PTH101, S103 - a unix socket's, which is at hand; asyncio wants no Path here
    source = (
        "import os, socket, sys; os.setuid(65534); s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
        's.sendall(b\'{"verb":"rotate"}\\n\'); print(len(s.recv(100)))'
    )
    ask = await asyncio.create_subprocess_exec(
        sys.executable, "-c", source, str(path), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    said, _ = await ask.communicate()
    assert said.decode().strip() in {"0", ""}  # closed, or reset
    assert "user 65534 is not heard" in caplog.text


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"nonsense",
        b"[]",
        b"null",
        b'{"verb": "keyring"}',
        b'{"verb": "keyring", "keyring": {}}',
        b'{"verb": "stop"}',
        b'{"verb": ["rotate"]}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
async def test_what_is_no_request_is_answered_and_the_next_one_too(
    path: Path, line: bytes, packager: Packager
) -> None:
    refused, good = await say(path, line, b'{"verb": "key"}')
    assert refused["ok"] is False
    assert good["ok"] is True
    assert packager.rotations == 0


@pytest.mark.parametrize(
    "text",
    [
        MASTER.hex(),
        json.dumps({"current": MASTER.hex(), "generations": {}}),
        json.dumps({"current": 1, "generations": {"1": {"master": MASTER.hex() + "z", "created": "x"}}}),
    ],
)
async def test_a_keyring_that_is_refused_shows_nowhere(
    path: Path, text: str, packager: Packager, caplog: pytest.LogCaptureFixture
) -> None:
    [answer] = await say(path, json.dumps({"verb": "keyring", "keyring": text}).encode())
    assert answer["error"].startswith("the keyring is refused: ")
    assert MASTER.hex()[:8] not in json.dumps(answer) + caplog.text
    assert packager.keyrings == []


async def test_a_keyring_that_is_taken_shows_nowhere(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = Keyring.create(MASTER).dumps()
    with caplog.at_level(logging.DEBUG):
        [answer] = await say(path, json.dumps({"verb": "keyring", "keyring": text}).encode())
    assert answer["ok"] is True
    assert MASTER.hex()[:8] not in json.dumps(answer) + caplog.text


async def test_a_line_without_end_is_cut_off(path: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(path)
    with contextlib.suppress(ConnectionError):
        writer.write(b"x" * (2 * LONGEST_LINE) + b"\n")
        await writer.drain()
        assert json.loads(await reader.readline())["ok"] is False
        assert await reader.read() == b""
    writer.close()


async def test_who_says_nothing_is_not_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_socket, "_SECONDS", 0.05)
    reader, writer = await asyncio.open_unix_connection(path)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()


async def test_an_unexpected_error_ends_the_connection_only(
    path: Path, packager: Packager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(keyring: Keyring) -> None:
        raise RuntimeError(keyring.dumps())

    monkeypatch.setattr(packager, "replace_keyring", broken)
    text = Keyring.create(MASTER).dumps()
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(json.dumps({"verb": "keyring", "keyring": text}).encode() + b"\n")
    assert await reader.read() == b""
    writer.close()
    assert "RuntimeError" in caplog.text
    assert MASTER.hex()[:8] not in caplog.text
    assert (await say(path, b'{"verb": "key"}'))[0]["ok"] is True


async def test_a_unit_that_starts_is_waited_for(
    tmp_path: Path, packager: Packager, client: StreamClient
) -> None:
    asked = asyncio.create_task(asyncio.to_thread(client.key, DEMO))
    await asyncio.sleep(0)
    async with listening(tmp_path / DEMO, packager, Keyring.create()):
        assert (await asked).generation == 1


def test_a_unit_that_does_not_run_is_not_waited_for(tmp_path: Path) -> None:
    client = StreamClient(tmp_path, units=set, start_seconds=60)
    with pytest.raises(NoStreamError, match="stream demo does not run"):
        client.key(DEMO)
    slow = StreamClient(tmp_path, units=lambda: {DEMO}, start_seconds=0)
    with pytest.raises(StreamSilentError, match="stream demo has no socket"):
        slow.key(DEMO)


@pytest.mark.parametrize("answer", [b"", b"x\n", b"[]\n", b'{"ok": true}\n', b'{"ok": true, "key": 1}\n'])
async def test_an_answer_that_is_none(tmp_path: Path, client: StreamClient, answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        writer.close()

    async with await asyncio.start_unix_server(serve, tmp_path / DEMO / CONTROL_SOCKET):
        with pytest.raises(StreamSilentError, match="stream demo"):
            await asyncio.to_thread(client.key, DEMO)


def test_the_place_is_systemd_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    assert socket_directory(DEMO) is None
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/appliance-stream:/run/other")
    assert str(socket_directory(DEMO)) == "/run/appliance-stream/demo"


async def test_a_new_secret_of_the_reader_is_handed_over(
    tmp_path: Path, packager: Packager, client: StreamClient, caplog: pytest.LogCaptureFixture
) -> None:
    handed: list[str] = []
    async with listening(tmp_path / DEMO, packager, None, handed.append):
        await asyncio.to_thread(client.hand_over_reader_secret, DEMO, "s3cret-of-the-reader")
        with pytest.raises(StreamSilentError, match="letters, digits") as refused:
            await asyncio.to_thread(client.hand_over_reader_secret, DEMO, "s3cret&name=x")
    assert handed == ["s3cret-of-the-reader"]
    assert "s3cret" not in caplog.text + str(refused.value)
