"""The RTMP player against a real nginx with the RTMP module."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import pytest

from appliance.media.codec.codec_config import parse_avc_config
from appliance.media.rtmp import flv
from appliance.media.rtmp.chunks import Message, MessageType
from appliance.media.rtmp.client import PublisherEvent, RtmpError, RtmpPlayer, RtmpRefusedError, RtmpUrl

if TYPE_CHECKING:
    from tests.integration.media.conftest import Encode, Ingest


async def _until(player: RtmpPlayer, kind: PublisherEvent | None = None) -> list[Message]:
    """Collects messages until `kind`, or until the first keyframe."""
    seen: list[Message] = []
    async with asyncio.timeout(15):
        async for event in player.messages():
            if event is kind:
                return seen
            if isinstance(event, Message):
                seen.append(event)
                if kind is None and event.type == MessageType.VIDEO:
                    packet = flv.parse_video(event.payload)
                    if packet.kind is flv.PacketKind.KEYFRAME:
                        return seen
    raise AssertionError("the connection ended")


def _payloads(path: str, kind: MessageType) -> list[bytes]:
    """The frames of one type in an FLV file."""
    with open(path, "rb") as file:  # noqa: PTH123 - read whole
        data = file.read()
    at, found = 13, []
    while at < len(data):
        length = int.from_bytes(data[at + 1 : at + 4])
        if data[at] == kind:
            found.append(data[at + 11 : at + 11 + length])
        at += 15 + length
    return found


async def test_a_player_that_waits_gets_the_very_first_keyframe(ingest: Ingest, clip: Encode) -> None:
    path = await clip(seconds=3, bframes=2)
    player = await RtmpPlayer.play(RtmpUrl.parse(ingest.url), "demo?reader=secret")
    await ingest.publish("demo", "-re", "-i", str(path), "-c", "copy")
    messages = await _until(player, PublisherEvent.ENDED)
    sent = _payloads(str(path), MessageType.VIDEO)
    got = [message.payload for message in messages if message.type == MessageType.VIDEO]
    assert parse_avc_config(got[0][5:]).width == 320
    assert got[: len(sent) - 1] == sent[: len(sent) - 1]
    await player.close()


async def test_a_player_that_joins_late_gets_each_header_before_its_frames(
    ingest: Ingest, clip: Encode
) -> None:
    path = await clip(seconds=12, gop_s=4)
    first = await RtmpPlayer.play(RtmpUrl.parse(ingest.url), "demo")
    await ingest.publish("demo", "-re", "-i", str(path), "-c", "copy")
    await _until(first)
    late = await RtmpPlayer.play(RtmpUrl.parse(ingest.url), "demo")
    messages = await _until(late)
    for kind, parse in ((MessageType.VIDEO, flv.parse_video), (MessageType.AUDIO, flv.parse_audio)):
        packets = [parse(message.payload).kind for message in messages if message.type == kind]
        assert packets[0] is flv.PacketKind.SEQUENCE_HEADER
        assert len(packets) > 1
    await first.close()
    await late.close()


@pytest.mark.parametrize("declared", [True, False])
async def test_what_a_player_that_joins_late_learns_before_pictures(
    ingest: Ingest, clip: Encode, declared: bool
) -> None:
    """The encoder's metadata reaches who joins later, before any frame; pictures wait for their keyframe."""
    path = await clip(seconds=20, gop_s=5)
    first = await RtmpPlayer.play(RtmpUrl.parse(ingest.url), "demo")
    flags = () if declared else ("-flvflags", "no_metadata")
    await ingest.publish("demo", "-re", "-i", str(path), "-c", "copy", *flags)
    await _until(first)
    late = await RtmpPlayer.play(RtmpUrl.parse(ingest.url), "demo")
    messages = await _until(late)
    told = [
        message.type == MessageType.DATA_AMF0 and bool(flv.read_metadata(message)) for message in messages
    ]
    sounds = [number for number, message in enumerate(messages) if message.type == MessageType.AUDIO]
    assert len(sounds) > 20
    assert told.count(True) == declared
    assert not declared or told.index(True) < sounds[0]
    await first.close()
    await late.close()


async def test_pings_are_answered(ingest: Ingest) -> None:
    """nginx pings every 2 s here and drops who does not answer within 1 s."""
    player = await RtmpPlayer.play(RtmpUrl.parse(ingest.url), "nobody")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(7):
            async for _ in player.messages():
                pass
    await player.close()


async def test_who_may_not_play_is_refused(ingest: Ingest) -> None:
    with pytest.raises(RtmpError) as caught:
        await RtmpPlayer.play(RtmpUrl.parse(ingest.url), "forbidden?reader=secret")
    assert "secret" not in str(caught.value)


async def test_an_unknown_application_is_refused(ingest: Ingest) -> None:
    with pytest.raises(RtmpError):
        await RtmpPlayer.play(RtmpUrl.parse(ingest.url.replace("/live", "/other")), "demo")


async def test_a_dead_server_is_an_error_in_words(ingest: Ingest) -> None:
    await ingest.kill()
    with pytest.raises(RtmpError, match=r"rtmp://127\.0\.0\.1:\d+/live: Connect"):
        await RtmpPlayer.play(RtmpUrl.parse(ingest.url), "demo")


async def test_a_server_that_dies_ends_the_messages(ingest: Ingest) -> None:
    player = await RtmpPlayer.play(RtmpUrl.parse(ingest.url), "demo")
    await ingest.kill()
    with pytest.raises(RtmpError):
        await _until(player)
    await player.close()


async def test_a_silent_server_is_left_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(RtmpError, match=r"no answer within 0\.2 s"):
            await RtmpPlayer.play(RtmpUrl("127.0.0.1", port, "live"), "demo", timeout_s=0.2)


def test_refused_is_a_kind_of_error() -> None:
    assert issubclass(RtmpRefusedError, RtmpError)
