"""For how long a key is given out: by the stream's files where there are any, by its age elsewhere."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.control import needed_keys
from appliance.control.needed_keys import NeededKeys
from appliance.media.package.needed_keys import SLACK_SECONDS, longest_need
from appliance.names import StreamName
from appliance.secrets.content_keys import KeyId
from appliance.settings import Settings
from tests.support.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

DEMO = StreamName("demo")
SETTINGS = Settings()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def needed(tmp_path: Path, clock: Clock) -> NeededKeys:
    return NeededKeys(tmp_path, SETTINGS, clock=clock)


@pytest.fixture
def state(tmp_path: Path) -> Callable[..., None]:
    """Writes the stream's state as the packager does: a new file takes the place of the old one."""
    (tmp_path / "demo").mkdir()

    def write(*kids: KeyId) -> None:
        draft = tmp_path / "demo" / ".draft"
        draft.write_text(" ".join(map(str, kids)) or "{}")
        draft.replace(tmp_path / "demo" / "state.json")

    return write


def aged(seconds: float) -> KeyId:
    """A key id that was made so long ago."""
    return KeyId(1, int(time.time() - seconds).to_bytes(4) + os.urandom(12))


def test_a_stream_that_is_elsewhere_goes_by_the_age(needed: NeededKeys) -> None:
    longest = longest_need(SETTINGS)
    assert needed.needs(DEMO, KeyId.new(1))
    assert needed.needs(DEMO, aged(longest - 5))
    assert not needed.needs(DEMO, aged(longest + 5))
    # clocks of two hosts differ a little; an id from next year was made up
    assert needed.needs(DEMO, aged(-30))
    assert not needed.needs(DEMO, aged(-3600))


def test_a_stream_that_is_here_goes_by_its_files(needed: NeededKeys, state: Callable[..., None]) -> None:
    old, fresh, never = aged(10 * 86_400), KeyId.new(1), KeyId.new(1)
    state(old, fresh)
    assert needed.needs(DEMO, old)
    assert needed.needs(DEMO, fresh)
    assert not needed.needs(DEMO, never)


def test_a_retired_key_goes_after_the_slack(
    needed: NeededKeys, state: Callable[..., None], clock: Clock
) -> None:
    old, fresh = KeyId.new(1), KeyId.new(1)
    state(old)
    assert needed.needs(DEMO, old)
    clock.now += 2
    state(fresh)
    assert needed.needs(DEMO, old)
    assert needed.needs(DEMO, fresh)
    clock.now += SLACK_SECONDS - 3
    state(fresh, KeyId.new(1))  # later changes neither shorten nor lengthen it
    assert needed.needs(DEMO, old)
    clock.now += 4
    assert not needed.needs(DEMO, old)
    state(fresh)
    assert not needed.needs(DEMO, old)


def test_the_files_are_read_when_they_have_changed_only(
    needed: NeededKeys, state: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rotation brings thousands of requests in a second."""
    kid, reads = KeyId.new(1), []
    state(kid)

    def counted(directory: Path) -> frozenset[str]:
        reads.append(directory)
        return frozenset({str(kid)})

    monkeypatch.setattr(needed_keys, "named_keys", counted)
    for _ in range(1000):
        assert needed.needs(DEMO, kid)
        assert not needed.needs(DEMO, KeyId.new(1))
    assert len(reads) == 1
    state(kid)
    assert needed.needs(DEMO, kid)
    assert len(reads) == 2


def test_a_playlist_that_is_ahead_of_the_state_counts(
    needed: NeededKeys, state: Callable[..., None], tmp_path: Path, clock: Clock
) -> None:
    """The state could not be written: the disk was full for a moment."""
    old, fresh = KeyId.new(1), KeyId.new(1)
    state(old)
    assert needed.needs(DEMO, old)
    playlist = tmp_path / "demo" / "epoch" / "360p" / "index.m3u8"
    playlist.parent.mkdir(parents=True)
    playlist.write_text(f'#EXT-X-KEY:METHOD=AES-128,URI="../../keys/{fresh}"')
    clock.now += 1
    assert needed.needs(DEMO, fresh)
    assert needed.needs(DEMO, old)


def test_when_the_files_are_gone_the_age_counts(
    needed: NeededKeys, state: Callable[..., None], tmp_path: Path
) -> None:
    old, fresh = aged(10 * 86_400), KeyId.new(1)
    state(old, fresh)
    assert needed.needs(DEMO, old)
    (tmp_path / "demo" / "state.json").unlink()
    assert not needed.needs(DEMO, old)
    assert needed.needs(DEMO, fresh)
