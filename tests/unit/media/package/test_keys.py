"""Content keys: when they change, and where they never appear."""

from __future__ import annotations

import json

import pytest

from appliance.media.package.packager import Packager
from appliance.secrets.keyring import Generation, Keyring
from tests.unit.media.package.handmade import AUDIO, HIGH, STARTED, pictures, run, sound
from tests.unit.media.package.published import Workbench, options


def test_keys_rotate_with_media_time_in_all_renditions(bench: Workbench) -> None:
    bench.options = options(rotation=6, window=20)
    packager = bench.packager()
    run(packager, 20)
    keys = {
        name: [item.key_uri for item in playlist.segments]
        for name, playlist in bench.check(packager.epoch).items()
    }
    assert keys["720p"] == keys["360p"] == keys["audio"]
    first = keys["720p"]
    assert [first.index(item) for item in first] == [0, 0, 0, 3, 3, 3, 6, 6, 6, 9]


@pytest.mark.parametrize("part", [0, 0.26])
def test_a_key_is_replaced_on_request_at_the_next_segment(bench: Workbench, part: float) -> None:
    bench.options = options(part=part, window=20)
    packager = bench.packager()
    packager.begin([HIGH, AUDIO], started_at=STARTED)
    video, track = pictures(), sound()
    packager.feed("720p", video.init())
    packager.feed("audio", track.init())
    assert packager.content_key is None
    for second in range(12):
        if second == 5:
            packager.rotate_key()
        if second == 9:
            old = bench.keyring.generations[1]
            # Without the old master: the segments that are open keep their key all the same.
            packager.replace_keyring(Keyring(2, {2: Generation(b"n" * 32, old.created)}))
        packager.feed("720p", video.seconds(1))
        packager.feed("audio", track.seconds(second + 1 - track.time / 48000))
    packager.end_run()
    bench.keyring = Keyring(2, {1: old, 2: Generation(b"n" * 32, old.created)})
    playlists = bench.check(packager.epoch)
    keys = {
        name: [str(item.key_uri) for item in playlist.segments if not item.gap]
        for name, playlist in playlists.items()
    }
    assert keys["720p"] == keys["audio"]
    first = keys["720p"]
    # A segment that was begun before the request keeps its key if anything of it was published.
    begun = 1 if part else 0
    assert [first.index(item) for item in first[: 4 + begun]] == [0, 0, *[0] * begun, *[2 + begun] * 2]
    assert [item.startswith("../../keys/2-") for item in first] == [False] * (4 + begun) + [True] * (
        2 - begun
    )
    since = STARTED.timestamp() + 2 * (4 + begun)
    assert packager.content_key == (first[-1].removeprefix("../../keys/"), since)


def test_clear_segments_take_no_keyring(bench: Workbench) -> None:
    packager = Packager(bench.root, "demo", options(encryption="none"), None)
    with pytest.raises(ValueError, match="no keyring"):
        packager.replace_keyring(bench.keyring)


def test_a_new_master_generation_is_taken_after_a_restart(bench: Workbench) -> None:
    run(bench.packager(), 4)
    old = bench.keyring.generations[1]
    bench.keyring = Keyring(2, {1: old, 2: Generation(b"n" * 32, old.created)})
    packager = bench.packager()
    run(packager, 4, at=10)
    listed = bench.check(packager.epoch)["720p"].segments
    assert [str(item.key_uri)[:13] for item in listed] == ["../../keys/1-"] * 2 + ["../../keys/2-"] * 2


def test_without_encryption(bench: Workbench) -> None:
    bench.options = options(encryption="none")
    packager = Packager(bench.root, "demo", bench.options, None)
    run(packager, 5)
    assert all("EXT-X-KEY" not in item.text for item in bench.check(packager.epoch).values())


def test_a_keyring_is_needed(bench: Workbench) -> None:
    with pytest.raises(ValueError, match="keyring"):
        Packager(bench.root, "demo", bench.options, None)


def test_no_key_of_an_epoch_goes_into_the_next(bench: Workbench) -> None:
    packager = bench.packager()
    keys: list[set[str | None]] = []
    for number, start_over in enumerate((packager.new_epoch, packager.remove, packager.finish)):
        run(packager, 8, at=1000 * number)
        playlists = bench.check(packager.epoch).values()
        keys.append({item.key_uri for playlist in playlists for item in playlist.segments})
        start_over()
    assert [len(used) for used in keys] == [1, 1, 1]
    assert len(set.union(*keys)) == 3


def test_the_state_holds_no_key(bench: Workbench) -> None:
    packager = bench.packager()
    run(packager, 4)
    text = (bench.directory / "state.json").read_text()
    kid = json.loads(text)["kid"]
    assert bench.keyring.derive(kid, "demo").hex() not in text
    assert (b"m" * 32).hex() not in text
