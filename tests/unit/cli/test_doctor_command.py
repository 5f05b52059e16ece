"""`appliance doctor` where it cannot look: a reason, and no traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path


def test_figures_without_systemd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "appliance.yml"
    settings.write_text("{}\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(SystemExit) as left:
        main(["doctor", "--summary", "--settings", str(settings)])
    assert left.value.code == 71
    said = capsys.readouterr().err
    assert "no figures: systemctl" in said
    assert "Traceback" not in said
