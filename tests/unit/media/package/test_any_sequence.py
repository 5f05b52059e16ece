"""Whatever arrives in whatever order, the playlists keep every rule."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.secrets.keyring import Keyring
from tests.unit.media.package.handmade import AUDIO, HIGH, LOW, STARTED, Mp4, pictures, sound
from tests.unit.media.package.published import Workbench, options

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.settings import Container

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["feed", "feed", "feed", "feed", "end", "begin", "restart"]),
        st.sampled_from(["720p", "360p", "audio"]),
        st.integers(1, 12),
        st.booleans(),
        st.integers(1, 3000),
    ),
    max_size=60,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    steps=STEPS,
    kind=st.sampled_from([("fmp4", 0), ("fmp4", 0.2), ("fmp4", 0.26), ("fmp4", 0.5), ("mpegts", 0)]),
)
def test_any_sequence_keeps_every_rule(
    kind: tuple[Container, float],
    steps: list[tuple[str, str, int, bool, int]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    root = tmp_path_factory.mktemp("hls")
    wanted = options(segment=1, window=4, rotation=3, part=kind[1], container=kind[0])
    bench = Workbench(root, Keyring.create(b"m" * 32), wanted)
    packager = bench.packager()
    tracks: dict[str, Mp4] = {}
    at = 0.0
    names: dict[Path, bytes] = {}
    used: dict[tuple[str, bytes], tuple[str, int]] = {}
    for action, name, samples, keyframe, payload in steps:
        if action == "restart":
            packager, tracks = bench.packager(), {}
        elif action == "end":
            packager.end_run()
            tracks = {}
        if action == "begin" or not tracks:
            at += 100
            packager.begin([HIGH, LOW, AUDIO], started_at=STARTED + timedelta(seconds=at))
            tracks = {"720p": pictures(), "360p": pictures(), "audio": sound()}
            for key, mp4 in tracks.items():
                packager.feed(key, mp4.init())
        track = tracks[name]
        packager.feed(name, track.fragment(samples, keyframe=keyframe and track.video, payload=payload))
        for rendition, playlist in bench.check(packager.epoch).items():
            for item in [*playlist.segments, *filter(None, [playlist.open])]:
                if item.key_uri is not None and item.iv is not None:
                    # A segment and its parts share a key and an IV, and nothing else ever does.
                    owner = used.setdefault((item.key_uri, item.iv), (rendition, item.msn))
                    assert owner == (rendition, item.msn)
        for path in (bench.directory / packager.epoch).glob("*/[!.]*.[mt]*[!8]"):
            data = path.read_bytes()
            assert names.setdefault(path, data) == data, f"{path} has other bytes now"
    packager.finish()
    playlists = bench.check(packager.epoch)
    assert len({item.segments[-1].msn for item in playlists.values()}) <= 1
    assert all(item.ended for item in playlists.values())
