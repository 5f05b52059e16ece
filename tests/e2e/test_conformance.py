"""Every state of a live stream's playlists keeps the rules, through a rotation, a reconnect and the end.

The rules are those of RFC 8216, draft-pantos-hls-rfc8216bis (the section numbers below) and Apple's HLS
authoring specification.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import m3u8
import pytest

from tests.support import player
from tests.support.encoder import Publisher, Signal
from tests.support.history import History, Snapshot, record
from tests.support.playlists import Segment, media_problems, multivariant_problems
from tests.support.site import CONFORMANCE_STREAM, GRACE_SECONDS, Site
from tests.support.waiting import until

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:m3u8")

MORE_SEGMENTS = 4
"""What happens by itself is looked at for this many segments each before and after what is done."""
SENT = Signal(width=854, height=480, rate="25")


@pytest.fixture(scope="module")
def history(site: Site) -> Iterator[History]:
    """What the playlists said: first publisher, rotation, second publisher within the grace time, the end."""

    def meanwhile(urls: list[str]) -> None:
        _wait_for_more(urls)
        site.run("appliance", "keys", "rotate", CONFORMANCE_STREAM)
        _wait_for_more(urls)
        first.stop()
        with Publisher(site.rtmp(CONFORMANCE_STREAM), SENT):
            _wait_for_more(urls)
            _wait_for_more(urls)
        until("the end", lambda: all(player.media(url).ended for url in urls), GRACE_SECONDS + 10)

    with Publisher(site.rtmp(CONFORMANCE_STREAM), SENT) as first:
        player.wait_for(site.hls(CONFORMANCE_STREAM), segments=2)
        yield record(site.hls(CONFORMANCE_STREAM), meanwhile)


def _wait_for_more(urls: list[str]) -> None:
    """Wait until each playlist has so many more segments."""
    wanted = max(player.media(url).last for url in urls) + MORE_SEGMENTS
    for url in urls:
        player.wait_for_number(url, wanted)


def _entries(snapshots: list[Snapshot]) -> dict[int, Segment]:
    """Return each segment that was ever listed, by its number, as it stood first."""
    found: dict[int, Segment] = {}
    for snapshot in snapshots:
        for segment in snapshot.playlist.plain.segments:
            found.setdefault(segment.number, segment)
    return found


def test_the_history_holds_what_it_is_about(history: History) -> None:
    for url, snapshots in history.media.items():
        listed = _entries(snapshots).values()
        keys = {segment.key.url for segment in listed if segment.key}
        assert len(keys) >= 2, f"{url}: no rotation in it"
        assert sum(segment.discontinuity for segment in listed) == 1, url
        assert snapshots[-1].playlist.plain.ended, url
        assert len(snapshots) > 4 * 4 * MORE_SEGMENTS, f"{url}: {len(snapshots)} states"


def test_a_listed_playlist_never_fails(history: History) -> None:
    assert history.refused == []


def test_segments_keep_the_rules_of_plain_hls(history: History) -> None:
    assert multivariant_problems(history.multivariant) == []
    for snapshot in history.snapshots:
        assert media_problems(snapshot.playlist.plain) == [], snapshot.text


def test_the_target_duration_never_changes(history: History) -> None:  # 4.4.3.1
    assert len({snapshot.playlist.plain.target for snapshot in history.snapshots}) == 1


def test_the_part_target_never_changes(history: History) -> None:  # 4.4.3.7
    assert len({snapshot.playlist.part_target for snapshot in history.snapshots}) == 1


def test_a_segment_never_changes(history: History) -> None:  # 6.2.1
    for snapshots in history.media.values():
        first = _entries(snapshots)
        for snapshot in snapshots:
            for segment in snapshot.playlist.plain.segments:
                assert segment == first[segment.number], snapshot.text


def test_only_the_oldest_segments_leave(history: History) -> None:  # 6.2.2
    for snapshots in history.media.values():
        for before, after in pairwise(snapshots):
            old, new = before.playlist.plain, after.playlist.plain
            assert new.segments[0].number >= old.segments[0].number
            assert new.last >= old.last
            kept = [segment for segment in old.segments if segment.number >= new.segments[0].number]
            assert new.segments[: len(kept)] == kept


def test_the_discontinuity_sequence_counts_what_left(history: History) -> None:  # 6.2.2
    for snapshots in history.media.values():
        gone_before: set[int] = set()
        for snapshot in snapshots:
            number = int(_tag(snapshot.text, "EXT-X-DISCONTINUITY-SEQUENCE"))
            plain = snapshot.playlist.plain
            gone = {
                n for n, s in _entries(snapshots).items() if s.discontinuity and n < plain.segments[0].number
            }
            assert number == len(gone), snapshot.text
            assert gone >= gone_before
            gone_before = gone


def test_breaks_and_keys_stand_at_the_same_segment_everywhere(history: History) -> None:
    breaks, changes = set(), set()
    for snapshots in history.media.values():
        entries = _entries(snapshots)
        shared = range(3, max(entries))
        breaks.add(tuple(n for n in shared if n in entries and entries[n].discontinuity))
        changes.add(tuple(n for n in shared if n - 1 in entries and _key(entries[n]) != _key(entries[n - 1])))
    assert len(breaks) == 1, breaks
    assert len(changes) == 1, changes


def _key(segment: Segment) -> str:
    return segment.key.url if segment.key else ""


def test_segments_of_one_number_have_one_time(history: History) -> None:
    times: dict[int, list[float]] = {}
    for url, snapshots in history.media.items():
        if url == history.multivariant.audio_url:
            continue  # sound cuts at its own frames
        for number, segment in _entries(snapshots).items():
            assert segment.time is not None
            times.setdefault(number, []).append(segment.time.timestamp())
    assert all(max(found) - min(found) < 0.002 for found in times.values()), times


def test_the_date_goes_on_with_the_durations(history: History) -> None:  # 4.4.4.6
    for snapshots in history.media.values():
        entries = _entries(snapshots)
        for number, segment in entries.items():
            following = entries.get(number + 1)
            if following is None or following.discontinuity:
                continue
            assert segment.time is not None
            assert following.time is not None
            step = (following.time - segment.time).total_seconds()
            assert abs(step - segment.duration) < 0.002, f"segment {number}"


def test_the_same_iv_never_comes_twice(history: History) -> None:
    ivs = [
        segment.key.iv
        for snapshots in history.media.values()
        for segment in _entries(snapshots).values()
        if segment.key
    ]
    assert len(set(ivs)) == len(ivs)


def test_server_control_allows_what_players_need(history: History) -> None:  # 4.4.3.8
    for snapshot in _live(history):
        playlist = snapshot.playlist
        assert playlist.control["CAN-BLOCK-RELOAD"] == "YES"
        assert float(playlist.control["PART-HOLD-BACK"]) >= 3 * playlist.part_target
        assert float(playlist.control["CAN-SKIP-UNTIL"]) >= 6 * playlist.plain.target
        hold_back = float(playlist.control.get("HOLD-BACK", 3 * playlist.plain.target))
        assert hold_back >= 3 * playlist.plain.target


def test_no_part_is_longer_than_the_target(history: History) -> None:  # 4.4.4.9
    for snapshot in history.snapshots:
        for parts in snapshot.playlist.parts.values():
            for part in parts:
                assert part.duration <= snapshot.playlist.part_target + 0.0005, snapshot.text


def test_all_parts_but_a_segments_last_fill_the_target(history: History) -> None:  # 4.4.4.9
    for snapshot in history.snapshots:
        breaks = {s.number for s in snapshot.playlist.plain.segments if s.discontinuity}
        for number, parts in snapshot.playlist.parts.items():
            if number + 1 in breaks:
                continue  # the run's last segment: its fragments end where FFmpeg did
            for part in parts[:-1]:
                assert part.duration >= 0.85 * snapshot.playlist.part_target - 0.0005, snapshot.text


def test_parts_add_up_to_their_segment(history: History) -> None:
    for snapshot in history.snapshots:
        for segment in snapshot.playlist.plain.segments:
            parts = snapshot.playlist.parts.get(segment.number)
            if parts and segment.number > min(snapshot.playlist.parts):
                assert abs(sum(part.duration for part in parts) - segment.duration) < 0.005, snapshot.text


def test_the_first_part_of_a_segment_is_independent(history: History) -> None:
    for snapshot in history.snapshots:
        oldest = min(snapshot.playlist.parts, default=0)
        for number, parts in snapshot.playlist.parts.items():
            if number > oldest:
                assert parts[0].independent, snapshot.text


def test_old_parts_leave_the_playlist(history: History) -> None:  # 6.2.2: three target durations from the end
    for snapshot in history.snapshots:
        playlist = snapshot.playlist
        ages = {}
        age = sum(part.duration for part in playlist.parts.get(playlist.plain.last + 1, []))
        for segment in reversed(playlist.plain.segments):
            ages[segment.number] = age
            age += segment.duration
        for number in playlist.parts:
            assert ages.get(number, 0) <= 3 * playlist.plain.target + 0.01, snapshot.text


def test_the_hint_names_the_next_part(history: History) -> None:  # 4.4.5.3
    for snapshots in history.media.values():
        for before, after in pairwise(snapshots):
            hint = before.playlist.hint
            if after.playlist.plain.ended:
                break
            assert hint is not None, before.text
            broken = len(_breaks(after)) > len(_breaks(before))
            news = [
                part.url
                for parts in after.playlist.parts.values()
                for part in parts
                if part.url not in before.text and not _known(before, part.url)
            ]
            if news and not broken:
                assert news[0] == hint, f"{before.text}\nthen\n{after.text}"


def _breaks(snapshot: Snapshot) -> list[str]:
    return [line for line in snapshot.text.splitlines() if line == "#EXT-X-DISCONTINUITY"]


def _known(snapshot: Snapshot, url: str) -> bool:
    return any(part.url == url for parts in snapshot.playlist.parts.values() for part in parts)


def test_reports_tell_of_the_other_renditions(history: History) -> None:  # 4.4.5.4
    urls = set(history.media)
    for url, snapshots in history.media.items():
        for snapshot in snapshots:
            if snapshot.playlist.plain.ended:
                continue
            reports = {report.url: report for report in snapshot.playlist.reports}
            assert set(reports) == urls - {url}, snapshot.text
            newest = snapshot.playlist.newest[0]
            for report in reports.values():
                assert abs(report.last_msn - newest) <= 1, snapshot.text


def test_the_end_has_neither_hint_nor_control(history: History) -> None:
    for snapshots in history.media.values():
        assert snapshots[-1].playlist.plain.ended
        assert snapshots[-1].playlist.hint is None


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


def _closing(snapshot: Snapshot) -> bool:
    playlist = snapshot.playlist
    parts = playlist.parts.get(playlist.plain.last + 1, [])
    return bool(parts) and parts[-1].duration < 0.85 * playlist.part_target


def _live(history: History) -> list[Snapshot]:
    return [snapshot for snapshot in history.snapshots if not snapshot.playlist.plain.ended]


def _tag(text: str, name: str) -> str:
    found = re.search(rf"^#{name}:(.*)$", text, re.MULTILINE)
    assert found, f"no {name}"
    return found[1]
