"""`appliance keys` as an operator calls it, with a stand-in for systemctl and real streams' sockets."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from appliance.errors import EX_NOPERM, EX_UNAVAILABLE, EX_USAGE
from appliance.media.stream_socket import listening
from appliance.secrets.credentials import replace_credential
from appliance.secrets.keyring import Keyring
from tests.support.access import open_to_others
from tests.support.key_user import Stream

SYSTEMCTL = """#!/bin/sh
echo "$*" >> "$STANDIN/calls"
case "$1" in
list-units)
    for room in "$STANDIN"/run/*/; do
        [ ! -d "$room" ] || echo "stream@$(basename "$room").service loaded active running"
    done ;;
restart) [ ! -e "$STANDIN/broken" ] || { echo "Job for $2 failed." >&2; exit 1; } ;;
esac
exit 0
"""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host's folder: credentials, settings, sockets, and a systemctl that says which sockets there are."""
    program = tmp_path / "bin" / "systemctl"
    for name in ("bin", "run", "hls", "credentials"):
        (tmp_path / name).mkdir()
    program.write_text(SYSTEMCTL)
    program.chmod(0o755)
    (tmp_path / "appliance.yml").write_text(f"media_root: {tmp_path / 'hls'}\n")
    replace_credential(tmp_path / "credentials" / "content-keyring", Keyring.create(b"m" * 32).dumps())
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("STANDIN", str(tmp_path))
    return tmp_path


def keyring(host: Path) -> Keyring:
    return Keyring.load(host / "credentials" / "content-keyring")


def stream(host: Path) -> Stream:
    made = Stream(keyring(host))
    made.rotate_key()
    return made


async def call(host: Path, verb: str, *arguments: str) -> tuple[int, str, str]:
    """Exit status, output and errors of `appliance keys VERB`."""
    places = [f"--directory={host / 'credentials'}", f"--streams={host / 'run'}"]
    if verb != "rotate":
        places.append(f"--settings={host / 'appliance.yml'}")
    program = "from appliance.cli.main import main; main()"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, "keys", verb, *arguments, *places),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    text = out.decode() + err.decode()
    for item in keyring(host).generations.values():
        assert item.master.hex() not in text
    assert "Traceback" not in text
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_list_rotate_and_purge(host: Path) -> None:
    demo, plain = stream(host), Stream(keyring(host))
    for name in ("demo", "x"):
        (host / "run" / name).mkdir()
    async with (
        listening(host / "run" / "demo", demo, demo.keyring),
        listening(host / "run" / "x", plain, None),
    ):
        status, out, _ = await call(host, "list", "--json")
        assert status == 0
        listed = json.loads(out)
        first = demo.content_key
        assert first is not None
        assert [item["number"] for item in listed["generations"]] == [1]
        assert listed["generations"][0]["in_use_by"] == ["demo"]
        assert listed["content_keys"][0]["kid"] == first[0]
        assert listed["content_keys"][1] == {
            "stream": "x", "kid": None, "generation": None, "since": None, "encrypted": False,
        }  # fmt: skip

        status, out, _ = await call(host, "rotate", "demo")
        assert (status, out) == (0, "demo: a new content key from the next segment on\n")
        assert demo.content_key not in {None, first}

        status, out, _ = await call(host, "rotate", "--master")
        assert status == 0
        assert keyring(host).current == 2
        assert "demo: has generation 2" in out
        assert "restart appliance-control.service" in (host / "calls").read_text().splitlines()

        status, out, _ = await call(host, "list")
        assert status == 0
        assert "retired" in out
        assert demo.content_key is not None
        assert demo.content_key[0] in out

        status, out, _ = await call(host, "purge", "--check")
        assert status == 0
        assert "kept: generation 1 may be needed until" in out


async def test_an_ended_stream_still_needs_its_generation(host: Path) -> None:
    kid = keyring(host).new_key_id()
    (host / "hls" / "old").mkdir()
    (host / "hls" / "old" / "state.json").write_text(json.dumps({"kid": kid}))
    status, out, _ = await call(host, "list", "--json")
    assert status == 0
    assert json.loads(out)["generations"][0]["needed_by"] == ["old"]
    assert (await call(host, "rotate", "--master"))[0] == 0
    _, out, _ = await call(host, "purge", "--yes")
    assert "kept: generation 1 is needed by what can be played of old" in out


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("rotate", "nobody"), EX_UNAVAILABLE, "not live on this host: nobody; live: none"),
        (("rotate", "a", "--master"), EX_USAGE, "--master changes the key of all streams"),
        (("rotate", "--finish"), EX_USAGE, "--finish belongs to it"),
        (("purge",), EX_USAGE, "nobody can be asked here"),
        (("purge", "--yes", "1"), 1, "generation 1 is the current one"),
    ],
)
async def test_what_is_refused(host: Path, arguments: tuple[str, ...], status: int, said: str) -> None:
    before = (host / "credentials" / "content-keyring").read_text()
    seen, _, err = await call(host, *arguments)
    assert (seen, said in err) == (status, True), err
    assert (host / "credentials" / "content-keyring").read_text() == before


async def test_a_control_service_that_does_not_start(host: Path) -> None:
    (host / "broken").touch()
    status, _, err = await call(host, "rotate", "--master")
    assert status == 71
    assert "appliance-control.service did not start anew with the keyring: Job for" in err
    assert "journalctl -u appliance-control.service" in err
    (host / "broken").unlink()
    assert (await call(host, "rotate", "--master", "--finish"))[0] == 0
    assert keyring(host).current == 2


async def test_a_silent_stream_is_named(host: Path) -> None:
    def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    (host / "run" / "demo").mkdir()
    async with await asyncio.start_unix_server(hang_up, host / "run" / "demo" / "control.sock"):
        for verb in ("list", "rotate"):
            status, _, err = await call(host, verb)
            assert status == EX_UNAVAILABLE
            assert "stream demo " in err


@pytest.mark.skipif(os.geteuid() != 0, reason="who is not root already gets this answer")
@pytest.mark.skipif(
    not open_to_others(Path(sys.prefix)), reason="the checkout is in a folder that others may not enter"
)
async def test_only_root_may_but_new_content_keys_need_no_secret(host: Path) -> None:
    for folder in (host, *host.parents[:3]):
        folder.chmod(0o755)
    (host / "calls").touch()
    (host / "calls").chmod(0o666)
    (host / "credentials").chmod(0o700)
    program = "import os; os.setuid(65534); from appliance.cli.main import main; main()"
    verbs = {("list",): EX_NOPERM, ("rotate", "--master"): EX_NOPERM, ("purge", "--check"): EX_NOPERM}
    verbs[("rotate",)] = 0
    for arguments, status in verbs.items():
        places = [f"--directory={host / 'credentials'}", f"--streams={host / 'run'}"]
        places += [] if arguments[0] == "rotate" else [f"--settings={host / 'appliance.yml'}"]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program, "keys", *arguments, *places),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate()
        assert process.returncode == status, out.decode()
        assert ("run it as root" in out.decode()) == (status == EX_NOPERM)
