"""`appliance credentials init`: makes what is missing, keeps what is there, shows nothing."""

from __future__ import annotations

import json
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from appliance.cli.credentials import app
from appliance.control.secrets import Secrets
from appliance.errors import OperatorError
from appliance.secrets.credentials import (
    locked,
    replace_credential,
)
from appliance.secrets.dated_secrets import DatedSecrets
from appliance.secrets.keyring import Keyring
from appliance.secrets.making import DEFAULT_GRACE, make_missing
from appliance.secrets.rotating import read_lines, read_newest
from appliance.secrets.webhook_secret import signing
from appliance.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

MASTER = "00112233445566778899aabbccddeeff"
NAMES = [
    "admin-token",
    "content-keyring",
    "rtmp-reader-secret",
    "stream-key-pepper",
    "valkey-password",
    "view-token-keys",
    "webhook-secret",
]
IN_ORDER = [
    *("content-keyring", "valkey-password", "rtmp-reader-secret"),
    *("stream-key-pepper", "admin-token", "view-token-keys", "webhook-secret"),
]
SECRET = "a-secret-of-the-customer"


def run(directory: Path, *options: str, given: str = "") -> Result:
    return CliRunner().invoke(app, ["init", "--directory", str(directory), *options], input=given)


def contents(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir()}


def test_the_first_run_makes_all_and_the_second_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "credentials"
    first = run(directory, "--json")
    assert json.loads(first.stdout)["changed"] is True
    made = contents(directory)
    assert sorted(made) == NAMES
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o400}
    second = run(directory, "--json")
    assert json.loads(second.stdout) == {
        "changed": False,
        "made": [],
        "kept": IN_ORDER,
        "mended": [],
        "unfinished": False,
    }
    assert contents(directory) == made
    for secret in (made[name] for name in NAMES if not name.endswith(("keyring", "keys", "webhook-secret"))):
        assert len(secret.strip()) == 64
        assert secret.strip() not in first.stdout
    assert made["webhook-secret"].startswith("whsec_")
    assert made["webhook-secret"].strip() not in first.stdout


def test_what_is_lost_is_made_again_and_the_rest_stays(tmp_path: Path) -> None:
    run(tmp_path)
    before = contents(tmp_path)
    (tmp_path / "rtmp-reader-secret").unlink()
    assert "made: " in run(tmp_path).stdout
    after = contents(tmp_path)
    assert after["rtmp-reader-secret"] != before["rtmp-reader-secret"]
    assert after["content-keyring"] == before["content-keyring"]


def test_one_that_is_empty_is_lost_and_one_that_is_malformed_is_named(tmp_path: Path) -> None:
    run(tmp_path)
    for name in ("rtmp-reader-secret", "view-token-keys", "webhook-secret"):
        replace_credential(tmp_path / name, "\n")
    assert json.loads(run(tmp_path, "--json").stdout)["made"] == [
        "rtmp-reader-secret",
        "view-token-keys",
        "webhook-secret",
    ]
    replace_credential(tmp_path / "rtmp-reader-secret", "s3cret=x&y")
    refused = run(tmp_path, "--json").exception
    assert isinstance(refused, OperatorError)
    assert "rtmp-reader-secret: allowed are letters" in str(refused)
    assert "s3cret" not in str(refused)


def test_many_at_once_make_each_secret_once(tmp_path: Path) -> None:
    directory = tmp_path / "credentials"
    with ThreadPoolExecutor(8) as pool:
        begin = threading.Barrier(8)

        def make(_: int) -> list[str]:
            begin.wait()
            return make_missing(directory, None).made

        made = [name for names in pool.map(make, range(8)) for name in names]
    assert sorted(made) == NAMES


@pytest.mark.parametrize("check", [True, False])
def test_what_is_open_to_others_is_closed_and_named(tmp_path: Path, check: bool) -> None:
    run(tmp_path)
    before = contents(tmp_path)
    opened = [tmp_path, tmp_path / "content-keyring", tmp_path / "valkey-password"]
    for path in opened:
        path.chmod(0o755 if path.is_dir() else 0o640)
    (tmp_path / "rtmp-reader-secret").chmod(0o600)  # nobody else's either
    said = json.loads(run(tmp_path, "--json", "--check" if check else "--no-check").stdout)
    assert (said["changed"], said["made"]) == (True, [])
    assert said["mended"] == [str(path) for path in opened]
    modes = [stat.S_IMODE(path.stat().st_mode) for path in opened]
    assert modes == ([0o755, 0o640, 0o640] if check else [0o700, 0o400, 0o400])
    assert contents(tmp_path) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_a_file_of_another_user_comes_back(tmp_path: Path) -> None:
    run(tmp_path)
    path = tmp_path / "valkey-password"
    os.chown(path, 65534, 65534)
    assert f"closed to others: {path}" in run(tmp_path).stdout
    assert (path.stat().st_uid, path.stat().st_gid) == (0, os.getegid())


def test_check_makes_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "credentials"
    assert json.loads(run(directory, "--check", "--json").stdout)["changed"] is True
    assert not directory.exists()


def test_the_given_key_is_the_first_master(tmp_path: Path) -> None:
    result = run(tmp_path, "--hls-encryption-key-stdin", given=f"{MASTER}\n")
    assert result.exit_code == 0
    assert MASTER not in result.stdout
    keyring = Keyring.load(tmp_path / "content-keyring")
    assert {number: item.master.hex() for number, item in keyring.generations.items()} == {1: MASTER}
    assert (
        json.loads(run(tmp_path, "--hls-encryption-key-stdin", "--json", given=MASTER).stdout)["made"] == []
    )


def test_another_key_waits_to_become_current_and_the_old_one_stays(tmp_path: Path) -> None:
    """The streams' keys come from it when the control service has it: `keys rotate --master --finish`."""
    run(tmp_path)
    old = Keyring.load(tmp_path / "content-keyring")
    kid = old.new_key_id()
    result = run(tmp_path, "--hls-encryption-key-stdin", "--json", given=MASTER)
    assert json.loads(result.stdout)["unfinished"] is True
    new = Keyring.load(tmp_path / "content-keyring")
    assert (new.current, new.next) == (1, 2)
    assert new.derive(kid, "demo") == old.derive(kid, "demo")
    assert new.generations[2].master.hex() == MASTER


def test_an_earlier_key_comes_back_in_its_own_generation(tmp_path: Path) -> None:
    path = tmp_path / "content-keyring"
    for given, expected in ((MASTER, 1), ("f" * 32, 2), (MASTER, 1)):
        result = run(tmp_path, "--hls-encryption-key-stdin", "--json", given=given)
        assert json.loads(result.stdout)["changed"] is True
        keyring = Keyring.load(path)
        replace_credential(path, (keyring.promoted() if keyring.next else keyring).dumps())
        keyring = Keyring.load(path)
        assert keyring.current == expected
        assert keyring.generations[expected].master.hex() == given
    assert sorted(keyring.generations) == [1, 2]
    again = run(tmp_path, "--hls-encryption-key-stdin", "--json", given=MASTER)
    assert json.loads(again.stdout) == {
        "changed": False,
        "made": [],
        "kept": IN_ORDER,
        "mended": [],
        "unfinished": False,
    }


def test_the_same_key_given_again_does_not_undo_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "content-keyring"
    run(tmp_path, "--hls-encryption-key-stdin", given=MASTER)
    rotated = Keyring.load(path).with_next().promoted()
    replace_credential(path, rotated.dumps())
    again = run(tmp_path, "--hls-encryption-key-stdin", "--json", given=MASTER)
    assert json.loads(again.stdout)["changed"] is False
    assert Keyring.load(path).current == 2


def test_both_are_given_in_one_input_each_on_its_line(tmp_path: Path) -> None:
    options = ("--hls-encryption-key-stdin", "--webhook-secret-stdin", "--json")
    result = run(tmp_path, *options, given=f"{MASTER}\n{SECRET}\n")
    assert json.loads(result.stdout)["made"] == IN_ORDER
    assert Keyring.load(tmp_path / "content-keyring").generations[1].master.hex() == MASTER
    assert read_newest(tmp_path, "webhook-secret") == SECRET
    assert json.loads(run(tmp_path, *options, given=f"{MASTER}\n{SECRET}").stdout)["changed"] is False
    # no longer chosen by the operator: the same one, and from now on the host's own
    for changed in (True, False):
        assert json.loads(run(tmp_path, *options, given="\n").stdout)["changed"] is changed
    assert read_newest(tmp_path, "webhook-secret") == SECRET
    assert not read_lines(tmp_path, "webhook-secret").newest.given
    assert json.loads(run(tmp_path, "--json").stdout)["changed"] is False


def test_another_webhook_secret_signs_and_the_one_before_beside_it_for_its_grace(tmp_path: Path) -> None:
    for given in (SECRET, "the-second-secret", "the-third--secret"):
        assert run(tmp_path, "--webhook-secret-stdin", given=given).exit_code == 0
    found = read_lines(tmp_path, "webhook-secret")
    assert [item.text for item in found.entries] == ["the-third--secret", "the-second-secret", SECRET]
    assert [item.given for item in found.entries] == [True, False, False]
    now = datetime.now(UTC)
    assert [item.text for item in signing(found, now)] == [item.text for item in found.entries]
    assert [item.text for item in signing(found, now + timedelta(days=8))] == ["the-third--secret"]
    run(tmp_path, "--webhook-secret-stdin", given="the-second-secret")
    assert read_newest(tmp_path, "webhook-secret") == "the-second-secret"
    assert len(read_lines(tmp_path, "webhook-secret").entries) == 3


def test_its_grace_is_given_and_no_settings_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upgrade may have left a settings file that this version refuses."""
    monkeypatch.setattr(Settings, "load", lambda _: pytest.fail("it read the settings"))
    for given in (SECRET, "the-second-secret"):
        result = run(tmp_path, "--webhook-secret-stdin", "--webhook-grace-seconds=60", given=given)
        assert result.exit_code == 0, result.exception
    _, before = read_lines(tmp_path, "webhook-secret").entries
    assert before.ends is not None
    assert timedelta(0) < before.ends - datetime.now(UTC) <= timedelta(minutes=1)
    assert timedelta(seconds=Settings().webhook_secret_grace_seconds) == DEFAULT_GRACE


def test_a_webhook_secret_that_the_host_drew_comes_second_in_the_header_for_one() -> None:
    """Nobody can have told the receiver of it yet."""
    drawn = DatedSecrets.parse("the-second-secret").rotated("the-third--secret", timedelta(hours=1))
    now = datetime.now(UTC)
    assert [item.text for item in signing(drawn, now)] == ["the-second-secret", "the-third--secret"]
    assert [item.text for item in signing(drawn, now + timedelta(hours=1))] == ["the-third--secret"]


@pytest.mark.parametrize(
    "given",
    ["too-short", "a secret with spaces", "x" * 257, "whsec_no*base64*at*all", "sixteen-\u00e9-letters"],
)
def test_a_webhook_secret_that_is_none_is_refused_unshown(tmp_path: Path, given: str) -> None:
    result = run(tmp_path, "--webhook-secret-stdin", given=given)
    assert isinstance(result.exception, OperatorError)
    assert given not in str(result.exception)
    assert "16 to 256" in str(result.exception)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "webhook-secret").write_text(given)
    with pytest.raises(OperatorError) as refused:
        read_lines(tmp_path, "webhook-secret")
    assert given not in str(refused.value)
    assert "webhook-secret: allowed: 16 to 256" in str(refused.value)


def test_who_changes_secrets_waits_for_who_does(tmp_path: Path) -> None:
    order = []
    with locked(tmp_path):
        other = threading.Thread(target=lambda: order.append(_holds(tmp_path)))
        other.start()
        other.join(0.2)
        assert order == []
        order.append("first")
    other.join(10)
    assert order == ["first", "second"]


def _holds(directory: Path) -> str:
    with locked(directory):
        return "second"


@pytest.mark.parametrize("given", ["xyz", MASTER[:-1], MASTER + "0", "g" * 32])
def test_a_key_that_is_none_is_refused_unshown(tmp_path: Path, given: str) -> None:
    result = run(tmp_path, "--hls-encryption-key-stdin", given=given)
    assert isinstance(result.exception, OperatorError)
    assert given not in str(result.exception)
    assert "32 or 64" in str(result.exception)
    assert list(tmp_path.iterdir()) == []


def test_the_service_reads_what_was_made(tmp_path: Path) -> None:
    run(tmp_path)
    secrets = Secrets.load(tmp_path)
    assert secrets.valkey_password() not in repr(secrets)
    assert secrets.reader_secrets()[0] not in repr(secrets)
    (tmp_path / "valkey-password").unlink()
    with pytest.raises(OperatorError, match=r"valkey-password: No such file"):
        Secrets.load(tmp_path)
