"""`appliance stream run` as systemd runs it: readiness, watchdog, a clean stop, no secret in the journal."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

from appliance.secrets.keyring import Keyring
from tests.integration.media.hls import Published

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.media.conftest import Encode, Ingest

_SECRET = "0123456789abcdef0123456789abcdef"


def _environment(tmp_path: Path, ingest_url: str) -> tuple[Keyring, Path, dict[str, str]]:
    keyring = Keyring.create()
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "content-keyring").write_text(keyring.dumps(), encoding="ascii")
    (credentials / "rtmp-reader-secret").write_text(_SECRET + "\n", encoding="ascii")
    (tmp_path / "hls").mkdir()
    config = tmp_path / "appliance.yml"
    config.write_text(f"ingest_url: {ingest_url}\nmedia_root: {tmp_path / 'hls'}\n", encoding="utf-8")
    environment = {**os.environ, "CREDENTIALS_DIRECTORY": str(credentials), "JOURNAL_STREAM": "8:1"}
    return keyring, config, environment


async def _run(config: Path, environment: dict[str, str]) -> asyncio.subprocess.Process:
    program = "from appliance.cli.main import main; main()"
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, "stream", "run", "demo", "--config", str(config)),
        env=environment,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_it_tells_systemd_how_it_fares_and_stops_cleanly(
    ingest: Ingest, clip: Encode, tmp_path: Path
) -> None:
    keyring, config, environment = _environment(tmp_path, ingest.url)
    path = await clip(seconds=30)
    told = ""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
        notifications.bind(str(tmp_path / "notify"))
        notifications.setblocking(False)
        process = await _run(config, {**environment, "NOTIFY_SOCKET": str(tmp_path / "notify")})
        loop = asyncio.get_running_loop()

        async def until(word: str) -> None:
            nonlocal told
            async with asyncio.timeout(20):
                while word not in told:
                    told += (await loop.sock_recv(notifications, 4096)).decode() + "\n"

        await until("READY=1")
        await until("WATCHDOG=1")
        await ingest.publish("demo", "-re", "-stream_loop", "-1", "-i", str(path), "-c", "copy")
        await until("STATUS=live: publishing")
        published = Published(tmp_path / "hls", "demo", keyring)
        async with asyncio.timeout(20):
            while published.count("360p") < 2:
                told += (await loop.sock_recv(notifications, 4096)).decode()
        process.send_signal(signal.SIGTERM)
        await until("STOPPING=1")
        _, journal = await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode == 0, journal.decode()
    assert (tmp_path / "hls" / "demo" / "state.json").exists()
    assert "#EXT-X-ENDLIST" not in published.playlist("360p")
    lines = journal.decode().splitlines()
    assert any(line.startswith('<6>{"event": "run 1 begins: H.264') for line in lines)
    assert _SECRET not in journal.decode()


async def test_what_is_missing_is_named(ingest: Ingest, tmp_path: Path) -> None:
    _, config, environment = _environment(tmp_path, ingest.url)
    (tmp_path / "credentials" / "rtmp-reader-secret").unlink()
    process = await _run(config, environment)
    _, message = await process.communicate()
    assert process.returncode == 78
    assert "rtmp-reader-secret: No such file or directory" in message.decode()
    assert "appliance credentials init" in message.decode()
    assert "Traceback" not in message.decode()
