"""Which keys the files of a stream name, and for how long one may be needed."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from typing import TYPE_CHECKING

from appliance.media.package.needed_keys import longest_need, named_by_stream, named_keys
from appliance.settings import Settings
from tests.unit.media.package.handmade import run
from tests.unit.media.package.published import Workbench, options

if TYPE_CHECKING:
    from pathlib import Path

KID = "1-" + "0" * 31 + "a"


def listed_keys(bench: Workbench) -> set[str]:
    """What all playlists of all epochs name."""
    texts = [path.read_text() for path in bench.directory.rglob("index.m3u8")]
    return {kid for text in texts for kid in re.findall(r"keys/([^\"]+)", text)}


def test_what_playlists_name_is_needed_at_every_moment(bench: Workbench) -> None:
    bench.options = options(window=6, rotation=4)
    packager = bench.packager()
    used: set[str] = set()
    for number in range(12):
        run(packager, 4, at=6 * number)
        if number == 7:
            packager.finish()
        named = named_keys(bench.directory)
        assert named is not None
        assert listed_keys(bench) <= named
        used |= named
    # those of the first minutes are gone by now
    latest = named_keys(bench.directory)
    assert latest is not None
    assert latest < used
    assert named_by_stream(bench.root) == {"demo": latest}


def test_the_epoch_before_counts_while_its_files_are_there(bench: Workbench) -> None:
    packager = bench.packager()
    run(packager, 8)
    [before] = listed_keys(bench)
    packager.finish()
    run(packager, 4, at=20)
    named = named_keys(bench.directory)
    assert named is not None
    assert before in named
    assert len(named) == 2


def test_no_state_is_not_the_same_as_no_key(tmp_path: Path) -> None:
    assert named_keys(tmp_path / "demo") is None
    (tmp_path / "demo").mkdir()
    assert named_keys(tmp_path / "demo") is None
    (tmp_path / "demo" / "state.json").write_text("{}")
    assert named_keys(tmp_path / "demo") == frozenset()
    assert named_by_stream(tmp_path / "nowhere") == {}


def test_no_link_and_no_pipe_is_read(tmp_path: Path) -> None:
    """The folder is the stream's own, the reader may be root."""
    secret = tmp_path / "secret"
    secret.write_text(KID)
    state = tmp_path / "state.json"
    state.symlink_to(secret)
    assert named_keys(tmp_path) is None
    state.unlink()
    os.mkfifo(state)
    assert named_keys(tmp_path) is None
    state.unlink()
    state.write_text(f'{{"kid":"{KID}","sha":"{"1-" + "0" * 40}","{"a" + KID}":1}}')
    assert named_keys(tmp_path) == frozenset((KID,))


def test_the_longest_need_covers_every_wait() -> None:
    settings = Settings()
    usual = timedelta(seconds=longest_need(settings))
    assert timedelta(minutes=10) < usual < timedelta(minutes=30)
    assert longest_need(Settings(rotation_seconds=86_400)) > 86_400 + settings.retain_seconds
