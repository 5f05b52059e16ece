"""The player page's files: ours, and hls.js by npm, once for each lock."""

from __future__ import annotations

import gzip
import json
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from appliance.provision.player import PlayerError, player_files
from tests.support.browser import FOLDER, LOW_LATENCY

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = Path(__file__).resolve().parents[3] / "files" / "player"
MODULES = sorted(path.name for path in SOURCE.glob("*.js"))


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that makes a script stand in for npm; each call of it leaves a line in `calls`."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")

    def stand_in(script: str) -> None:
        (programs / "npm").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n{script}\n')
        (programs / "npm").chmod(stat.S_IRWXU)

    return stand_in


WORKS = "mkdir -p node_modules/hls.js/dist && echo library > node_modules/hls.js/dist/hls.min.mjs"


def test_the_library_is_downloaded_once_and_kept_compressed(
    tmp_path: Path, npm: Callable[[str], None]
) -> None:
    npm(WORKS)
    cache, said = tmp_path / "cache", list[str]()
    first = player_files(SOURCE, cache, said.append)
    assert gzip.decompress(first["hls.js.gz"].read_bytes()) == b"library\n"
    assert "hls.js" not in first  # the package's own, which a host has no use for
    assert {"index.html", "page.js", "player.css", "icon.svg"} <= set(first)
    assert player_files(SOURCE, cache, said.append) == first
    [call] = (tmp_path / "calls").read_text().splitlines()
    assert call.startswith("ci ")
    assert "--ignore-scripts" in call
    assert said == ["downloading hls.js for the player page"]


def test_what_npm_says_reaches_the_operator(tmp_path: Path, npm: Callable[[str], None]) -> None:
    npm("echo 'npm error code EINTEGRITY' >&2; exit 1")
    with pytest.raises(PlayerError, match=r"exit status 1(.|\n)*EINTEGRITY"):
        player_files(SOURCE, tmp_path / "cache", print)
    npm(WORKS)  # and nothing half is left behind
    assert player_files(SOURCE, tmp_path / "cache", print)["hls.js.gz"].exists()


def test_without_npm_it_names_what_mends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PlayerError, match=r"files/bootstrap\.sh player"):
        player_files(SOURCE, tmp_path / "cache", print)


def test_the_page_names_its_modules_beforehand() -> None:
    """So that a browser asks for all of them at once, not for one after the other."""
    page = (SOURCE / "index.html").read_text()
    named = re.findall(r'(?:modulepreload" href|src)="/watch/-/([a-z-]+\.js)"', page)
    assert sorted([*named, "hls.js"]) == MODULES


def test_hosts_serve_every_name() -> None:
    served = re.compile(r"[a-z][a-z-]{0,31}\.(js|css|svg)")
    assert [name for name in MODULES if name != "hls.js" and not served.fullmatch(name)] == []


def test_it_is_tuned_as_it_is_measured() -> None:
    text = (SOURCE / "tuning.js").read_text()
    found = re.search(r"export const LOW_LATENCY = \{ (.*) \};", text)
    assert found is not None
    assert json.loads(re.sub(r"(\w+):", r'"\1":', f"{{{found[1]}}}")) == LOW_LATENCY


def test_hosts_get_the_hls_js_that_is_measured() -> None:
    def pinned(lock: Path) -> Any:
        return json.loads(lock.read_text())["packages"]["node_modules/hls.js"]

    ours = pinned(SOURCE / "package-lock.json")
    assert ours == pinned(FOLDER / "package-lock.json")
    assert set(ours) == {"version", "integrity", "license"}  # and no address
