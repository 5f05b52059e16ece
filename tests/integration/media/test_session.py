"""A stream's whole life: real nginx, real FFmpeg, real packager, encryption on."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.integration.media.conftest import end
from tests.integration.media.stage import MOST_SKEW_MS, Stage

if TYPE_CHECKING:
    from tests.integration.media.conftest import Encode


async def test_a_stream_begins_with_its_first_picture_and_ends_by_itself(stage: Stage, clip: Encode) -> None:
    path = await clip(seconds=8, bframes=2)
    async with stage.session() as session:
        await asyncio.sleep(0.5)  # the reader has joined; nothing tells from outside
        begun = time.monotonic()
        await stage.publish(path)
        await stage.until(lambda: stage.published.multivariant)
        print(f"publish to first playable picture: {time.monotonic() - begun:.2f} s")
        assert stage.published.count("360p") == 0, "parts are enough"
        await stage.until(lambda: stage.status.get("state") == "live")
        assert stage.status["encoder"]["reason"]
        await stage.until(lambda: stage.status.get("state") == "waiting")
        assert "#EXT-X-ENDLIST" not in stage.published.playlist("360p")
        # Eight seconds were sent; the first frame is there, or the first segment would be short.
        lengths = [float(x) for x in re.findall(r"#EXTINF:([\d.]+)", stage.published.listed("360p"))]
        assert sum(lengths) == pytest.approx(8, abs=0.3)
        assert lengths[:3] == [pytest.approx(2, abs=0.05)] * 3
        assert await stage.skew() < MOST_SKEW_MS
        await stage.until(lambda: "#EXT-X-ENDLIST" in stage.published.playlist("360p"))
        assert stage.status.get("state") == "ended"
        async with asyncio.timeout(10):
            await session
        assert not any((stage.root / "demo").glob("*"))


async def test_a_publisher_that_returns_with_another_size_goes_on(stage: Stage, clip: Encode) -> None:
    before, after = await clip(seconds=30), await clip(size="854x480", fps="25", seconds=30)
    async with stage.session():
        first = await stage.publish(before, loop=True)
        await stage.until(lambda: stage.published.count("360p") >= 2)
        epoch = stage.published.epochs
        await end(first)
        await stage.until(lambda: stage.status.get("state") == "waiting")
        await stage.publish(after, loop=True)
        await stage.until_run(1)
        assert "480p" in stage.published.renditions
        assert stage.published.epochs == epoch
        assert await stage.skew(0) < MOST_SKEW_MS
        assert await stage.skew(1) < MOST_SKEW_MS
        assert "#EXT-X-MEDIA-SEQUENCE:0" in stage.published.playlist("360p")


async def test_a_killed_ffmpeg_is_replaced_at_once(stage: Stage, clip: Encode) -> None:
    path = await clip(seconds=30, bframes=2)
    async with stage.session():
        await stage.publish(path, loop=True)
        await stage.until(lambda: stage.published.count("360p") >= 2 and stage.status.get("ffmpeg_pid"))
        victim = stage.status["ffmpeg_pid"]
        os.kill(victim, signal.SIGKILL)
        took = await stage.until(lambda: stage.status.get("ffmpeg_pid") not in {victim, None})
        print(f"a new FFmpeg after {took:.2f} s")
        await stage.until_run(1)
        assert stage.status["last_ending"] == "killed by SIGKILL"
        assert await stage.skew() < MOST_SKEW_MS


async def test_a_hung_ffmpeg_is_replaced(stage: Stage, clip: Encode) -> None:
    path = await clip(seconds=30)
    async with stage.session(segment_seconds=1.0):
        await stage.publish(path, loop=True)
        await stage.until(lambda: stage.published.count("360p") >= 2 and stage.status.get("ffmpeg_pid"))
        victim = stage.status["ffmpeg_pid"]
        os.kill(victim, signal.SIGSTOP)
        took = await stage.until(lambda: stage.status.get("ffmpeg_pid") not in {victim, None})
        print(f"a new FFmpeg {took:.2f} s after the old one hung")
        await stage.until_run(1)
        assert stage.status["last_ending"].startswith("hung: nothing came out for ")
        assert stage.published.playlist("360p").count("#EXT-X-DISCONTINUITY\n") == 1


async def test_a_restart_of_ingest_is_survived(stage: Stage, clip: Encode) -> None:
    path = await clip(seconds=30)
    async with stage.session(grace_seconds=20.0):
        await stage.publish(path, loop=True)
        await stage.until(lambda: stage.published.count("360p") >= 1)
        await stage.ingest.kill()
        await stage.until(lambda: stage.status.get("state") == "waiting")
        await stage.ingest.start()
        await stage.until(lambda: stage.status.get("reader") == "connected")
        await stage.publish(path, loop=True)
        await stage.until_run(1)
        assert await stage.skew() < MOST_SKEW_MS


async def test_who_returns_after_the_end_gets_a_new_epoch(stage: Stage, clip: Encode) -> None:
    path = await clip(seconds=8)
    async with stage.session(grace_seconds=2.0, retain_seconds=20.0):
        await stage.publish(path)
        await stage.until(lambda: "#EXT-X-ENDLIST" in stage.published.playlist("360p"))
        before = stage.published.epochs
        await stage.publish(path)
        await stage.until(lambda: stage.published.epochs not in ([], before))
        assert "#EXT-X-ENDLIST" not in stage.published.playlist("360p")


async def test_the_next_process_goes_on_where_this_one_stopped(stage: Stage, clip: Encode) -> None:
    await stage.publish(await clip(seconds=30), loop=True)
    async with stage.session():
        await stage.until(lambda: stage.published.count("360p") >= 2)
    before, epochs = stage.published.count("360p"), stage.published.epochs
    assert "#EXT-X-ENDLIST" not in stage.published.playlist("360p")
    async with stage.session():
        await stage.until(lambda: stage.published.count("360p") > before)
        assert stage.published.epochs == epochs
        assert "#EXT-X-DISCONTINUITY\n" in stage.published.playlist("360p")
        await stage.until_run(1)
        assert await stage.skew() < MOST_SKEW_MS


async def test_a_stream_that_nobody_publishes_is_over_after_the_grace_time(stage: Stage) -> None:
    async with stage.session(grace_seconds=0.5) as session, asyncio.timeout(5):
        await session
    assert not (stage.root / "demo").exists()


async def test_a_process_that_finds_nobody_any_more_ends_what_it_found(stage: Stage, clip: Encode) -> None:
    publisher = await stage.publish(await clip(seconds=30), loop=True)
    async with stage.session():
        await stage.until(lambda: stage.published.count("360p") >= 1)
    await end(publisher)
    async with stage.session(grace_seconds=0.5):
        await stage.until(lambda: "#EXT-X-ENDLIST" in stage.published.playlist("360p"))
