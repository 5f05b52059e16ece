"""`appliance fleet`: what is refused, and what one host says that breaks nobody else's row."""

from __future__ import annotations

import pytest

from appliance.cli.main import main
from appliance.errors import EX_USAGE


@pytest.mark.parametrize("limit", ["", " ", ","])
@pytest.mark.parametrize("words", [["fleet", "exec", "--", "true"], ["fleet", "status"], ["preflight"]])
def test_a_limit_that_names_nobody_is_not_all_hosts(
    words: list[str], limit: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for area in ("fleet", "preflight"):
        monkeypatch.setattr(f"appliance.cli.{area}.read_targets", lambda *_: pytest.fail("it went on"))
    monkeypatch.setattr("appliance.cli.preflight.ask_inventory", lambda *_: pytest.fail("it went on"))
    at = len(words) if "--" not in words else words.index("--")
    with pytest.raises(SystemExit) as left:
        main([*words[:at], "--limit", limit, *words[at:]])
    assert left.value.code == EX_USAGE
    assert "names no host" in capsys.readouterr().err
