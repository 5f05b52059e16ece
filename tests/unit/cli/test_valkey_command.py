"""`appliance valkey` becomes valkey-cli, with the socket in its words and the password in its environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from appliance.cli.main import main
from appliance.errors import EX_CONFIG, EX_UNAVAILABLE
from appliance.secrets.making import make_missing
from appliance.secrets.rotating import read_newest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make a host's settings and secrets; return the options that name them."""
    (tmp_path / "appliance.yml").write_text("valkey_socket: /run/elsewhere.sock\n")
    make_missing(tmp_path / "credentials", None)
    program = tmp_path / "bin" / "valkey-cli"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    return ["--settings", str(tmp_path / "appliance.yml"), "--directory", str(tmp_path / "credentials")]


@pytest.mark.parametrize(
    "words", [[], ["SLOWLOG", "GET", "10"], ["CONFIG", "GET", "*"], ["--stat"], ["-r", "2", "PING"]]
)
def test_it_becomes_valkey_cli(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list[str], words: list[str]
) -> None:
    became: list[Any] = []

    def execve(*call: Any) -> None:
        became.extend(call)
        raise SystemExit(0)

    monkeypatch.setattr("os.execve", execve)
    with pytest.raises(SystemExit):
        main(["valkey", *given, *words])
    program, arguments, environment = became
    assert program == str(tmp_path / "bin" / "valkey-cli")
    assert arguments == ["valkey-cli", "-s", "/run/elsewhere.sock", *words]
    password = read_newest(tmp_path / "credentials", "valkey-password")
    assert environment["REDISCLI_AUTH"] == password
    assert password not in " ".join(arguments)


def test_without_the_program(
    given: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SystemExit) as left:
        main(["valkey", *given, "PING"])
    assert left.value.code == EX_UNAVAILABLE
    assert "there is no valkey-cli here" in capsys.readouterr().err


def test_on_a_controller(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["valkey", "PING"])
    assert left.value.code == EX_CONFIG
    assert "this machine is no streaming host" in capsys.readouterr().err
