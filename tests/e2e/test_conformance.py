"""Every state of a live stream's playlists keeps the rules: through rotations, a reconnect, a drop, the end.

The rules are those of RFC 8216, draft-pantos-hls-rfc8216bis (the section numbers below) and Apple's HLS
authoring specification.
"""

from __future__ import annotations

import re
from itertools import pairwise

from tests.support.history import History, Snapshot
from tests.support.long_watch import MORE_SEGMENTS, LongWatch
from tests.support.playlists import Segment, media_problems, multivariant_problems


def _entries(snapshots: list[Snapshot]) -> dict[int, Segment]:
    """Return each segment or gap that was ever listed, by its number, as it stood first."""
    found: dict[int, Segment] = {}
    for snapshot in snapshots:
        for segment in snapshot.playlist.plain.listed:
            found.setdefault(segment.number, segment)
    return found


def _gaps(snapshots: list[Snapshot]) -> set[int]:
    """Return the numbers of all gaps."""
    return {gap.number for snapshot in snapshots for gap in snapshot.playlist.plain.gaps}


def test_the_history_holds_what_it_is_about(long_watch: LongWatch, history: History) -> None:
    for url, snapshots in history.media.items():
        listed = _entries(snapshots).values()
        keys = {segment.key.url for segment in listed if segment.key}
        assert len(keys) >= 5, f"{url}: {len(keys)} keys"
        # the second encoder, and the FFmpeg without the rung
        assert sum(segment.discontinuity for segment in listed) == 2, url
        assert snapshots[-1].playlist.plain.ended, url
        assert len(snapshots) > 4 * 4 * MORE_SEGMENTS, f"{url}: {len(snapshots)} states"
        last = snapshots[-1].playlist.plain
        assert not (last.segments if url == long_watch.given_up else last.gaps), url


def test_a_rung_that_is_given_up_goes_on_as_gaps(long_watch: LongWatch, history: History) -> None:
    # 4.4.4.7: so that its viewers go over to another rung, which the numbers and breaks lead to
    snapshots = history.media[long_watch.given_up]
    entries, gaps = _entries(snapshots), _gaps(snapshots)
    since = next(number for number in sorted(gaps) if all(n in gaps for n in entries if n >= number))
    assert [number for number in entries if number >= since] == list(range(since, max(entries) + 1))
    for url, others in history.media.items():
        assert max(_entries(others)) == max(entries), url


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
            for segment in snapshot.playlist.plain.listed:
                assert segment == first[segment.number], snapshot.text


def test_only_the_oldest_segments_leave(history: History) -> None:  # 6.2.2
    for snapshots in history.media.values():
        for before, after in pairwise(snapshots):
            old, new = before.playlist.plain, after.playlist.plain
            assert new.numbers[0] >= old.numbers[0]
            assert new.last >= old.last
            kept = [segment for segment in old.listed if segment.number >= new.numbers[0]]
            assert new.listed[: len(kept)] == kept


def test_the_discontinuity_sequence_counts_what_left(history: History) -> None:  # 6.2.2
    for snapshots in history.media.values():
        gone_before: set[int] = set()
        for snapshot in snapshots:
            number = int(_tag(snapshot.text, "EXT-X-DISCONTINUITY-SEQUENCE"))
            plain = snapshot.playlist.plain
            gone = {n for n, s in _entries(snapshots).items() if s.discontinuity and n < plain.numbers[0]}
            assert number == len(gone), snapshot.text
            assert gone >= gone_before
            gone_before = gone


def test_breaks_and_keys_stand_at_the_same_segment_everywhere(history: History) -> None:
    breaks: set[tuple[int, ...]] = set()
    changes: dict[str, dict[int, bool]] = {}
    for url, snapshots in history.media.items():
        entries = _entries(snapshots)
        shared = range(3, max(entries))
        breaks.add(tuple(n for n in shared if n in entries and entries[n].discontinuity))
        there = entries.keys() - _gaps(snapshots)
        whole = [n for n in shared if {n, n - 1} <= there]
        changes[url] = {n: _key(entries[n]) != _key(entries[n - 1]) for n in whole}
    assert len(breaks) == 1, breaks
    for one, other in pairwise(changes.values()):
        both = one.keys() & other.keys()
        assert {n: one[n] for n in both} == {n: other[n] for n in both}
        assert any(one[n] for n in both)


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
        breaks = {s.number for s in snapshot.playlist.plain.listed if s.discontinuity}
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
        for segment in reversed(playlist.plain.listed):
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
            if hint is None and before.playlist.plain.gaps:
                continue  # of a rung that is given up nothing comes
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


def test_reports_tell_of_the_other_renditions(long_watch: LongWatch, history: History) -> None:  # 4.4.5.4
    urls = set(history.media)
    given_up = {long_watch.given_up}
    for url, snapshots in history.media.items():
        for snapshot in snapshots:
            if snapshot.playlist.plain.ended:
                continue
            reports = {report.url: report for report in snapshot.playlist.reports}
            assert urls - {url} - given_up <= set(reports) <= urls - {url}, snapshot.text
            newest = snapshot.playlist.newest[0]
            for report in reports.values():
                assert abs(report.last_msn - newest) <= 1, snapshot.text


def test_the_end_has_neither_hint_nor_control(history: History) -> None:
    for snapshots in history.media.values():
        assert snapshots[-1].playlist.plain.ended
        assert snapshots[-1].playlist.hint is None


def _live(history: History) -> list[Snapshot]:
    return [snapshot for snapshot in history.snapshots if not snapshot.playlist.plain.ended]


def _tag(text: str, name: str) -> str:
    found = re.search(rf"^#{name}:(.*)$", text, re.MULTILINE)
    assert found, f"no {name}"
    return found[1]
