"""What a request's target asks for."""

from __future__ import annotations

import pytest

from appliance.media.serve.requests import (
    InvalidDirectiveError,
    PartRequest,
    PlaylistRequest,
    parse_target,
)


@pytest.mark.parametrize(
    ("query", "msn", "part", "skip"),
    [
        ("", None, None, False),
        ("?_HLS_msn=7", 7, None, False),
        ("?_HLS_msn=7&_HLS_part=0", 7, 0, False),
        ("?_HLS_part=3&_HLS_msn=7&_HLS_skip=YES", 7, 3, True),
        ("?_HLS_skip=v2", None, None, True),
        ("?_HLS_skip=NO&token=x", None, None, False),
        ("?_HLS_msn=7&_HLS_msn=7", 7, None, False),
        ("?_HLS_push=1", None, None, False),
    ],
)
def test_playlists(query: str, msn: int | None, part: int | None, skip: bool) -> None:
    expected = PlaylistRequest("mwsfdcdw", "720p", msn, part, skip)
    assert parse_target(f"/mwsfdcdw/720p/index.m3u8{query}") == expected


@pytest.mark.parametrize(
    "query",
    [
        "_HLS_part=0",
        "_HLS_msn=",
        "_HLS_msn=-1",
        "_HLS_msn=1.5",
        "_HLS_msn=07",
        "_HLS_msn=9999999999999999",
        "_HLS_msn=\u0661",
        "_HLS_msn=1&_HLS_msn=2",
        "_HLS_msn=1&_HLS_part=x",
    ],
)
def test_malformed_directives_are_refused(query: str) -> None:
    with pytest.raises(InvalidDirectiveError):
        parse_target(f"/mwsfdcdw/720p/index.m3u8?{query}")


def test_parts() -> None:
    assert parse_target("/mwsfdcdw/audio/12.0.m4s") == PartRequest("mwsfdcdw", "audio", 12, 0)
    assert parse_target("/mwsfdcdw/audio/12.0.m4s?token=x") == PartRequest("mwsfdcdw", "audio", 12, 0)


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/index.m3u8",
        "/mwsfdcdw/720p/12.m4s",
        "/mwsfdcdw/720p/init-0.mp4",
        "/mwsfdcdw/720p/../720p/1.0.m4s",
        "/../../720p/1.0.m4s",
        "/mwsfdcdw/720p/1.0.m4s/",
        "/mwsfdcdw/720P/index.m3u8",
        "/mwsfdcdw/720p/01.0.m4s",
        "/mwsfdcdw/720p/index.m3u8\n",
    ],
)
def test_other_names_are_nothing_of_ours(target: str) -> None:
    assert parse_target(target) is None
