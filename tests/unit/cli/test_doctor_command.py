"""`appliance doctor` where it cannot look: a reason, and no traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.cli.main import main
from appliance.errors import EX_USAGE

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


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--summary", "--bundle", "FILE"], "--summary goes without --bundle"),
        (["--summary", "--only", "units"], "--summary goes without --only"),
        (["--stream", "x", "--checklist", "--name", "y"], "--stream goes without --checklist, --name"),
        (["--stream", "x", "--summary"], "--stream goes without --summary"),
        (["--only", "units", "--checklist"], "--only goes without --checklist"),
    ],
)
def test_options_of_which_one_would_be_dropped(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    said: str,
) -> None:
    settings, file = tmp_path / "appliance.yml", tmp_path / "support.tar.gz"
    settings.write_text("{}\n")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    words = [str(file) if word == "FILE" else word for word in options]
    with pytest.raises(SystemExit) as left:
        main(["doctor", *words, "--settings", str(settings)])
    assert left.value.code == EX_USAGE
    assert said in capsys.readouterr().err
    assert not file.exists()
