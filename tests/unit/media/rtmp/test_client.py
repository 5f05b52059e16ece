"""What the player makes of a server's messages."""

from __future__ import annotations

import asyncio
from unittest.mock import create_autospec

import pytest

from appliance.media.rtmp import amf
from appliance.media.rtmp.chunks import ChunkEncoder, Message, MessageType
from appliance.media.rtmp.client import PublisherEvent, RtmpPlayer, RtmpRefusedError


async def _first_event(*statuses: amf.AmfValue) -> Message | PublisherEvent:
    reader, encoder = asyncio.StreamReader(), ChunkEncoder()
    for status in statuses:
        command = amf.encode("onStatus", 0.0, None, status)
        reader.feed_data(encoder.encode(Message(MessageType.COMMAND_AMF0, 0, command), 3))
    player = RtmpPlayer(reader, create_autospec(asyncio.StreamWriter, instance=True))
    return await anext(player.messages(silence_s=5))


@pytest.mark.parametrize("code", [{"a": 1.0}, {}, 1.0, None])
async def test_a_status_code_that_is_not_text_is_none(code: amf.AmfValue) -> None:
    gone: amf.AmfValue = {"level": "status", "code": "NetStream.Play.UnpublishNotify"}
    assert await _first_event({"level": "status", "code": code}, gone) is PublisherEvent.ENDED


async def test_an_error_without_a_code_of_text_ends_the_play() -> None:
    with pytest.raises(RtmpRefusedError, match="without a reason"):
        await _first_event({"level": "error", "code": {}})
