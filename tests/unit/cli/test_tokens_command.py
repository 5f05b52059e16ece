"""`appliance tokens` as an operator calls it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner, Result

from appliance.cli.tokens import app
from appliance.control.view.tokens import ViewToken, issue, read
from appliance.errors import EX_CONFIG, EX_DATAERR, EX_NOPERM, EX_USAGE, OperatorError
from appliance.names import StreamName
from appliance.secrets.credentials import replace_credential
from appliance.secrets.making import make_missing
from appliance.secrets.token_keys import TokenKeys
from appliance.state.registry import RegisteredStream
from tests.support.access import open_to_others


def write_settings(host: Path, **values: object) -> None:
    """No Valkey answers."""
    (host / "appliance.yml").write_text(json.dumps({"valkey_socket": str(host / "nobody.sock"), **values}))


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A host's folder: credentials and settings."""
    make_missing(tmp_path / "credentials", None)
    write_settings(tmp_path, view_policy="token", node="origin", delivery_port=8085)
    return tmp_path


def keys(host: Path) -> TokenKeys:
    return TokenKeys.load(host / "credentials" / "view-token-keys")


def call(host: Path, *arguments: str, given: str | bytes = "") -> Result:
    places = [f"--directory={host / 'credentials'}", f"--settings={host / 'appliance.yml'}"]
    return CliRunner().invoke(app, [*arguments, *places], input=given)


def issued(host: Path, *arguments: str) -> dict[str, Any]:
    result = call(host, "issue", *arguments, "--json")
    assert result.exit_code == 0, result.exception
    return dict(json.loads(result.stdout))


def read_back(host: Path, token: str) -> ViewToken:
    return read(token, keys(host), now=time.time(), max_seconds=86_400)


def test_a_token_comes_with_the_address_that_plays(host: Path) -> None:
    made = issued(host, "demo")
    assert made["url"] == f"http://origin:8085/hls/t/{made['token']}/demo.m3u8"
    assert made["page"] == f"http://origin:8085/watch/demo#{made['token']}"
    token = read_back(host, made["token"])
    assert (token.stream, token.viewer, token.network, token.entitlement) == ("demo", None, None, None)
    assert made["expires"] == token.expires
    assert abs(token.expires - time.time() - 3600) < 30


def test_the_address_is_the_one_that_viewers_know(host: Path) -> None:
    write_settings(host, view_policy="token", node="origin", delivery_url="https://live.example.org:8443")
    made = issued(host, "demo")
    assert made["url"].startswith("https://live.example.org:8443/hls/t/")
    assert made["page"].startswith("https://live.example.org:8443/watch/demo#")


def test_it_says_what_was_asked_for(host: Path) -> None:
    options = ["--viewer=anna", "--session=tv", "--minutes=5", "--ip=192.0.2.9/24"]
    made = issued(host, "*", *options, "--entitlement=match", "--paid-minutes=2")
    assert made["url"] is None
    token = read_back(host, made["token"])
    assert (token.stream, token.viewer, token.session, token.entitlement) == ("*", "anna", "tv", "match")
    assert str(token.network) == "192.0.2.0/24"
    assert token.paid_until is not None
    assert round(token.expires - token.paid_until) == 180


def test_for_people_too(host: Path) -> None:
    result = call(host, "issue", "demo")
    token, watch, page, ends = result.stdout.splitlines()
    assert read_back(host, token.split()[1]).stream == "demo"
    assert urlsplit(watch.split()[1]).path.startswith(f"/hls/t/{token.split()[1]}/")
    assert urlsplit(page.split()[1]).fragment == token.split()[1]
    assert ends.startswith("ends ")
    # one line: newer keys of another host were not looked for
    assert re.fullmatch(r"note   the keys on disk sign, .*: Valkey at .*nobody\.sock: .*\n", result.stderr)
    write_settings(host)
    assert "view_policy is open" in call(host, "issue", "demo").stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["-demo"], "o such option"),
        (["../x"], "is not a stream name"),
        (["demo", "--minutes=1441"], "a token for 86460 s is refused; allowed are 86400"),
        (["demo", "--ip=here"], "'here' is refused"),
        (["demo", "--paid-minutes=5"], "name the entitlement"),
        *(
            (["demo", "--entitlement=x", f"--paid-minutes={n}"], "aid-minutes")
            for n in ("inf", "nan", "1e308", "0")
        ),
        (["demo", f"--viewer={'x' * 200}"], "1 to 128 characters"),
        (["demo", "--viewer="], "1 to 128 characters"),
        (["demo", "--viewer=\udcff"], "1 to 128 characters"),
        (["demo", f"--viewer={'x' * 3000}"], "allowed are 2048"),
    ],
)
def test_what_cannot_be_is_refused(host: Path, arguments: list[str], named: str) -> None:
    result = call(host, "issue", *arguments)
    assert result.exit_code != 0
    assert named in f"{result.exception} {result.stderr}"
    assert "eyJ" not in result.output
    if isinstance(result.exception, OperatorError):
        assert result.exception.exit_code == EX_USAGE


@pytest.mark.parametrize("verb", ["issue", "show"])
def test_without_the_keys_there_is_nothing(host: Path, verb: str) -> None:
    (host / "credentials" / "view-token-keys").unlink()
    result = call(host, verb, *(["demo"] if verb == "issue" else []))
    assert isinstance(result.exception, OperatorError)
    assert result.exception.exit_code == EX_CONFIG
    assert "appliance credentials init" in str(result.exception)


@pytest.mark.skipif(os.geteuid() != 0, reason="who is not root already gets this answer")
@pytest.mark.skipif(
    not open_to_others(Path(sys.prefix)), reason="the checkout is in a folder that others may not enter"
)
def test_others_are_told_to_be_root(host: Path) -> None:
    for folder in (host, *host.parents[:3]):
        folder.chmod(0o755)
    (host / "credentials").chmod(0o700)
    program = "import os; from appliance.cli import main, tokens; os.setuid(65534); main.main()"
    places = [f"--directory={host / 'credentials'}", f"--settings={host / 'appliance.yml'}"]
    command = [sys.executable, "-c", program, "tokens", "issue", "demo", *places]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == EX_NOPERM, done.stderr
    assert "run it as root" in done.stderr


def test_a_good_token_is_explained(host: Path) -> None:
    made = issued(host, "demo", "--viewer=anna", "--ip=192.0.2.7")
    result = call(host, "show", "--ip=192.0.2.7", given=made["token"] + "\n")
    assert result.exit_code == 0
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert lines["viewer"] == '"anna"'
    assert lines["address"] == '"192.0.2.7/32"'
    assert lines["key"] == f'"{keys(host).current}" (the one that signs), "HS256"'
    assert "in 60 min" in lines["expires"]
    assert "it lets in\n" in result.stdout
    assert re.search(r"not known +what demo is registered with, and wants paid: Valkey at ", result.stdout)
    assert re.search(r"not known +whether its session was ended", result.stdout)
    assert "where the viewer is" not in result.stdout
    assert "not known    where the viewer is: --ip" in call(host, "show", given=made["token"]).stdout


def test_of_a_token_for_all_streams_it_is_said_what_is_missing(host: Path) -> None:
    said = json.loads(call(host, "show", "--json", given=issued(host, "*")["token"]).stdout)
    assert (said["accepted"], said["policy"]) == (True, None)
    assert "--stream NAME" in said["not_known"][0]


@pytest.mark.parametrize(
    ("registered", "settings", "options", "status", "said"),
    [
        (None, {}, [], 204, "it lets in\n"),
        ({"entitlement": "match"}, {}, [], 402, 'policy       token, it wants "match"\n'),
        ({"entitlement": "match"}, {}, ["--entitlement=match"], 204, "it lets in\n"),
        ({"view": "open"}, {}, [], 204, "as anybody is let in without it"),
        (None, {"view_policy": "open"}, [], 204, "as anybody is let in without it"),
        ({"view": "backend"}, {}, [], 204, "not known    what the backend says of it"),
        ({"view": "backend"}, {}, [], 204, "the stream's viewers are the backend's"),
    ],
)
def test_what_the_stream_is_registered_with_is_looked_up(
    *,
    host: Path,
    monkeypatch: pytest.MonkeyPatch,
    registered: dict[str, Any] | None,
    settings: dict[str, Any],
    options: list[str],
    status: int,
    said: str,
) -> None:
    made = issued(host, "demo", *options)
    write_settings(host, **{"view_policy": "token", **settings})
    stream = registered and RegisteredStream(name=StreamName("demo"), created_at="", **registered)
    monkeypatch.setattr("appliance.cli.tokens.with_state", lambda *_: stream)
    result = call(host, "show", given=made["token"])
    assert (result.exit_code == 0) == (status == 204)
    assert said in result.stdout
    shown = json.loads(call(host, "show", "--json", given=made["token"]).stdout)
    assert (shown["status"], shown["entitlement"]) == (status, (registered or {}).get("entitlement"))


@pytest.mark.parametrize(
    ("changes", "options", "status", "reason"),
    [
        ({"stream": "other"}, ["--stream=demo"], 403, "the token is for other"),
        ({}, ["--ip=192.0.2.7"], 403, "the token is for 198.51.100.0/24"),
        ({"expires": 1}, [], 401, "expired"),
        ({"entitlement": "match", "paid_until": 1}, [], 402, "is over"),
    ],
)
def test_a_refused_token_is_explained(
    *, host: Path, changes: dict[str, Any], options: list[str], status: int, reason: str
) -> None:
    made = issued(host, "demo", "--ip=198.51.100.0/24")
    token = {
        "stream": "demo",
        "expires": time.time() + 60,
        "network": read_back(host, made["token"]).network,
        **changes,
    }
    text = issue(keys(host), ViewToken(**token), now=time.time())
    result = call(host, "show", "--json", *options, given=text)
    assert isinstance(result.exception, OperatorError)
    assert result.exception.exit_code == EX_DATAERR
    assert reason in str(result.exception)
    said = json.loads(result.stdout)
    assert (said["accepted"], said["status"]) == (False, status)
    assert reason in said["reason"]
    assert said["claims"]["stream"] == token["stream"]


def test_what_was_paid_for_is_asked_for_when_the_settings_do(host: Path) -> None:
    write_settings(host, view_needs_entitlement=True)
    result = call(host, "show", "--json", given=issued(host, "demo")["token"])
    assert json.loads(result.stdout)["status"] == 402


def test_a_foreign_token_is_shown_and_not_believed(host: Path) -> None:
    foreign = TokenKeys.create()
    viewer = "\x1b[2J\n[red]:100:"
    token = ViewToken(stream="demo", expires=time.time() + 60, viewer=viewer)
    result = call(host, "show", given=issue(foreign, token, now=time.time()))
    assert "unknown" in str(result.exception)
    assert f'"{foreign.current}" (unknown here)' in result.stdout
    assert json.dumps(viewer) in result.stdout
    assert "\x1b" not in result.output
    assert "it lets in" not in result.output


@pytest.mark.parametrize("given", ["", "x", "a.b.c", "x" * 5000, "e30.e30.c2ln", b"\xff\xfe"])
def test_what_is_no_token_is_called_that(host: Path, given: str | bytes) -> None:
    result = call(host, "show", given=given)
    assert isinstance(result.exception, OperatorError)
    assert result.exception.exit_code == EX_DATAERR
    assert "refused with 401" in str(result.exception)


def test_a_retired_key_is_named(host: Path) -> None:
    made = issued(host, "demo")
    replace_credential(
        host / "credentials" / "view-token-keys", keys(host).rotated(timedelta(hours=1)).dumps()
    )
    result = call(host, "show", given=made["token"])
    assert result.exit_code == 0
    assert "(retired)" in result.stdout


def test_a_key_that_has_ended_lets_nobody_in_and_is_named(host: Path) -> None:
    """As long as nobody rotates it again it stands in the file, and no service takes it any more."""
    made = issued(host, "demo")
    of_before = keys(host)
    ended = datetime.now(UTC) - timedelta(minutes=5)
    rotated = of_before.rotated(timedelta(hours=1))
    key = replace(rotated.keys[of_before.current], ends=ended)
    text = replace(rotated, keys={**rotated.keys, of_before.current: key}).dumps()
    replace_credential(host / "credentials" / "view-token-keys", text)
    result = call(host, "show", given=made["token"])
    assert isinstance(result.exception, OperatorError)
    assert (result.exception.exit_code, "refused with 401" in str(result.exception)) == (EX_DATAERR, True)
    assert "it lets in" not in result.output
    assert f"(retired, ended {ended:%Y-%m-%d %H:%M:%SZ} (5 min ago))" in result.stdout
