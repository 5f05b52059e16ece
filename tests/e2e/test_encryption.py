"""Segments are ciphertext of AES-128-CBC, each with an IV of its own, and worthless without the key."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.support import player
from tests.support.encoder import Publisher, Signal
from tests.support.site import Site


def _packets(file: Path) -> int:
    """Return how many packets of pictures or sound ffprobe finds in a file read as MP4, as which it was made.

    Not by guessing: one random file in some hundred passes for one of FFmpeg's three hundred formats.
    """
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-f", "mov", "-show_entries", "packet=codec_type", "-of", "csv=p=0", file],
        capture_output=True,
        text=True,
        check=False,
    )
    return sum(line.startswith(("video", "audio")) for line in done.stdout.splitlines())


def test_ciphertext_keys_and_headers(site: Site, stream: str, tmp_path: Path) -> None:
    with Publisher(site.rtmp(stream), Signal(width=854, height=480)):
        listed = player.wait_for(site.hls(stream), segments=3)
        playlists = [player.media(url) for url in listed.urls]  # the sound's comes last
        assert len(playlists) >= 3

        ivs = [segment.key.iv for playlist in playlists for segment in playlist.segments if segment.key]
        assert len(set(ivs)) == len(ivs), "two segments share an IV"
        assert len({playlist.target for playlist in playlists}) == 1

        # the same number is the same time in every rendition
        oldest = max(playlist.segments[0].number for playlist in playlists)
        for number in range(oldest, min(playlist.last for playlist in playlists) + 1):
            times = [
                segment.time.timestamp()
                for playlist in playlists
                for segment in playlist.segments
                if segment.number == number and segment.time
            ]
            assert max(times[:-1]) - min(times[:-1]) < 0.005, f"segment {number} of the variants: {times}"
            assert max(times) - min(times) < 0.25, f"segment {number} with its sound: {times}"

        segment = playlists[0].segments[-1]
        assert segment.map_url is not None
        assert segment.key is not None
        init, body, key = player.get(segment.map_url), player.get(segment.url), player.get(segment.key.url)

        bare, joined, clear = (tmp_path / name for name in ("bare.mp4", "joined.mp4", "clear.mp4"))
        bare.write_bytes(body.body)
        joined.write_bytes(init.body + body.body)
        clear.write_bytes(init.body + player.decrypt(segment, key.body, body.body))
        assert _packets(bare) == 0
        assert _packets(joined) == 0
        assert _packets(clear) == 50  # 2 s of 25 pictures

        assert b"Cache-Control" not in body.body
        assert key.headers["cache-control"] == "no-store"
        assert "immutable" in body.headers["cache-control"]
        assert player.get(listed.url).headers["content-type"] == "application/vnd.apple.mpegurl"
        assert body.headers["access-control-allow-origin"] == "*"

        # keys of a generation that never was, and files that are nobody's business
        for url in (
            re.sub(r"/keys/[0-9]+-", "/keys/999999-", segment.key.url),
            segment.key.url + "0",
            site.http(f"/hls/{stream}/state.json"),
            site.http(f"/hls/{stream}/"),
            site.http("/hls/"),
            site.http(f"/hls/{stream}/../../../etc/passwd"),
        ):
            assert player.get(url).status in {400, 403, 404}, url


def test_segments_start_with_a_keyframe(site: Site, stream: str, tmp_path: Path) -> None:
    with Publisher(site.rtmp(stream), Signal(gop_seconds=5)):
        listed = player.wait_for(site.hls(stream), segments=3)
        playlist = player.media(listed.variants[0].url)
        for segment in playlist.segments:
            assert segment.map_url is not None
            file = tmp_path / f"{segment.number}.mp4"
            clear = player.decrypt(segment, player.content_key(segment), player.get(segment.url).body)
            file.write_bytes(player.get(segment.map_url).body + clear)
            flags = subprocess.run(
                ["ffprobe", "-v", "error", "-show_entries", "packet=flags", "-of", "csv=p=0", str(file)],
                capture_output=True, text=True, check=True,
            ).stdout.split()  # fmt: skip
            assert flags[0].startswith("K"), f"segment {segment.number} begins with {flags[0]}"


def test_any_player_plays_every_variant(site: Site, stream: str) -> None:
    with Publisher(site.rtmp(stream), Signal(width=854, height=480)):
        listed = player.wait_for(site.hls(stream), segments=3)
        assert player.decodes(listed.url, 5) == ""
        for variant in listed.variants:
            assert player.decodes(variant.url, 2) == "", variant.url
