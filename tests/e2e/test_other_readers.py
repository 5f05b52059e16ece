"""Other readers of playlists read every state of a live stream as ours does."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import m3u8
import pytest

from tests.support import browser
from tests.support.history import History, Snapshot

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:m3u8")


def test_m3u8_reads_the_same(history: History) -> None:
    for snapshot in history.snapshots[::5]:
        read = m3u8.loads(snapshot.text)
        playlist = snapshot.playlist
        assert read.target_duration == playlist.plain.target
        assert read.part_inf.part_target == pytest.approx(playlist.part_target)
        listed = [segment for segment in read.segments if segment.uri]
        assert len(listed) == len(playlist.plain.numbers)
        assert sum(len(segment.parts) for segment in read.segments) == sum(map(len, playlist.parts.values()))


def test_hls_parser_reads_the_same(history: History) -> None:
    node = shutil.which("node")
    assert node, "node is missing: `files/bootstrap.sh browser` installs it"
    # It knows a segment's last part, which may be short, only by the EXTINF that follows with the next part.
    chosen = [snapshot for snapshot in history.snapshots if not _closing(snapshot)][::5]
    done = subprocess.run(
        [node, str(Path(__file__).parent / "browser" / "parse.js")],
        input=json.dumps([snapshot.text for snapshot in chosen]),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    for snapshot, found in zip(chosen, json.loads(done.stdout), strict=True):
        playlist = snapshot.playlist
        assert found == {
            "segments": len(playlist.plain.numbers),
            "parts": sum(map(len, playlist.parts.values())),
            "target": playlist.plain.target,
            "sequence": playlist.plain.numbers[0],
            "version": playlist.plain.version,
        }, snapshot.text


def test_hls_js_reads_the_same(history: History) -> None:
    states = [(url, snapshot) for url, snapshots in history.media.items() for snapshot in snapshots]
    read = browser.parse([(url, snapshot.text) for url, snapshot in states])
    assert len(read) == len(states)
    for (_, snapshot), found in zip(states, read, strict=True):
        playlist, plain = snapshot.playlist, snapshot.playlist.plain
        assert found.get("error") is None, f"{found}\n{snapshot.text}"
        assert found["problem"] is None, f"{found['problem']}\n{snapshot.text}"
        assert (found["target"], found["version"]) == (plain.target, plain.version)
        assert found["live"] is not plain.ended
        assert found["part_target"] == pytest.approx(playlist.part_target)
        assert found["hint"] == playlist.hint
        assert found["reports"] == len(playlist.reports)
        assert found["parts"] == [part.url for parts in playlist.parts.values() for part in parts]
        assert [segment["number"] for segment in found["segments"]] == plain.numbers
        gaps = {gap.number for gap in plain.gaps}
        broken = 0
        for segment, listed in zip(found["segments"], plain.listed, strict=True):
            broken += listed.discontinuity
            assert listed.time is not None
            assert segment["url"] == listed.url
            assert segment["gap"] is (listed.number in gaps)
            assert segment["duration"] == pytest.approx(listed.duration)
            assert segment["time"] == pytest.approx(1000 * listed.time.timestamp(), abs=1)
            assert segment["key"] == (listed.key.url if listed.key else None), snapshot.text
            assert segment["iv"] == (listed.key.iv[2:].lower() if listed.key else None), snapshot.text
            assert segment["map"] == listed.map_url, snapshot.text
            assert segment["breaks"] == broken, snapshot.text


def _closing(snapshot: Snapshot) -> bool:
    playlist = snapshot.playlist
    parts = playlist.parts.get(playlist.plain.last + 1, [])
    return bool(parts) and parts[-1].duration < 0.85 * playlist.part_target
