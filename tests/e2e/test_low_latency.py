"""Requests that are held until what they ask for is there (draft-pantos-hls-rfc8216bis, section 6.2.5)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import low_latency, player
from tests.support.encoder import Publisher, Signal
from tests.support.site import HELD_STREAM, Site

SENT = Signal(width=854, height=480, rate="25")


@pytest.fixture(scope="module")
def media_url(site: Site) -> Iterator[str]:
    """A rendition of a live stream."""
    with Publisher(site.rtmp(HELD_STREAM), SENT):
        yield player.wait_for(site.hls(HELD_STREAM), segments=3).variants[0].url


def _now(url: str) -> low_latency.LowLatencyPlaylist:
    return low_latency.parse(url, player.get(url).body.decode())


def test_the_answer_holds_the_part_that_was_asked_for(media_url: str) -> None:
    for _ in range(12):
        msn, part = _now(media_url).newest
        answer = player.get(f"{media_url}?_HLS_msn={msn}&_HLS_part={part + 1}")
        assert answer.status == 200
        assert low_latency.parse(media_url, answer.body.decode()).newest >= min((msn, part + 1), (msn + 1, 0))


def test_the_answer_holds_the_segment_that_was_asked_for(media_url: str) -> None:
    wanted = _now(media_url).plain.last + 1
    answer = player.get(f"{media_url}?_HLS_msn={wanted}")
    assert answer.status == 200
    assert low_latency.parse(media_url, answer.body.decode()).plain.last >= wanted


def test_what_is_too_far_ahead_is_refused(media_url: str) -> None:
    last = _now(media_url).plain.last
    assert player.get(f"{media_url}?_HLS_msn={last + 9}").status == 400


@pytest.mark.parametrize("query", ["_HLS_msn=x", "_HLS_part=1", "_HLS_msn=-1", "_HLS_msn=1&_HLS_part=x"])
def test_what_makes_no_sense_is_refused(media_url: str, query: str) -> None:
    assert player.get(f"{media_url}?{query}").status == 400


def test_a_delta_update_and_what_was_known_make_the_whole(media_url: str) -> None:  # 6.2.5.1
    for _ in range(40):
        known = _now(media_url)
        msn = known.plain.last + 1
        text = player.get(f"{media_url}?_HLS_msn={msn}&_HLS_skip=YES").body.decode()
        delta = low_latency.parse(media_url, text)
        if delta.skipped:
            break
    else:
        pytest.fail(f"nothing was ever skipped:\n{text}")
    assert delta.plain.version >= 9
    first = delta.plain.numbers[0]  # EXT-X-MEDIA-SEQUENCE counts the skipped ones too
    assert set(range(first, first + delta.skipped)) <= set(known.plain.numbers)


def test_a_hinted_part_is_held_until_it_is_there(media_url: str) -> None:
    for _ in range(8):
        hint = _now(media_url).hint
        assert hint is not None
        answer = player.get(hint)
        assert answer.status == 200
        assert len(answer.body) % 16 == 0
        assert answer.body == player.get(hint).body


def test_parts_decrypt_to_their_segment(media_url: str) -> None:
    playlist = _now(media_url)
    segment = playlist.plain.segments[-1]
    key = player.content_key(segment)
    parts = [player.decrypt(segment, key, player.get(p.url).body) for p in playlist.parts[segment.number]]
    assert b"".join(parts) == player.decrypt(segment, key, player.get(segment.url).body)
