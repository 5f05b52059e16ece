"""Commands that refuse what they were given before anybody is asked, and name what is allowed."""

from __future__ import annotations

import pytest

from appliance.cli.main import main
from appliance.errors import EX_CONFIG, EX_USAGE


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["bans", "lift", "300.1.1.1"], "'300.1.1.1' is refused; allowed is an IPv4 or IPv6 address"),
        (["api-tokens", "create", "--scope", "bogus"], "--scope: 'bogus' is refused; allowed are "),
    ],
)
def test_a_word_that_is_none(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == EX_USAGE
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["secrets", "status"],
        ["tokens", "issue", "demo"],
        ["tokens", "show"],
        ["events", "tail"],
        ["events", "dead"],
    ],
)
def test_a_controller_is_no_host(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == EX_CONFIG
    assert "this machine is no streaming host" in capsys.readouterr().err
