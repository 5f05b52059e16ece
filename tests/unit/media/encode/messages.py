"""RTMP messages as an encoder sends them."""

from __future__ import annotations

from appliance.media.rtmp import amf
from appliance.media.rtmp.chunks import Message, MessageType

# x264, High, 1280x720, 30 fps in the VUI.
AVC_CONFIG = bytes.fromhex(
    "0164001fffe1001a6764001facd9405005bb0110000003001000000303c0f183196001000468efbcb0fdf8f800"
)
# The same picture from an encoder that states no frame rate.
AVC_CONFIG_WITHOUT_TIMING = bytes.fromhex("0142001fffe100096742001fda014016e401000468ce3880")


def metadata(**entries: amf.AmfValue) -> Message:
    return Message(MessageType.DATA_AMF0, 0, amf.encode("onMetaData") + amf.encode_ecma_array(entries))


def video_header(config: bytes = AVC_CONFIG) -> Message:
    return Message(MessageType.VIDEO, 0, b"\x17\x00\0\0\0" + config)


def audio_header(config: str = "1190") -> Message:
    return Message(MessageType.AUDIO, 0, b"\xaf\x00" + bytes.fromhex(config))


def _unit(kind: int, size: int) -> bytes:
    return (1 + size).to_bytes(4) + bytes((0x60 | kind,)) + bytes(size)


def keyframe(at_ms: int, *, size: int = 100, unit: int = 5) -> Message:
    """A keyframe of `size` bytes: SEI, then a slice of type `unit`."""
    return Message(MessageType.VIDEO, at_ms, b"\x17\x01\0\0\0" + _unit(6, 8) + _unit(unit, size))


def frame(at_ms: int, *, size: int = 10) -> Message:
    return Message(MessageType.VIDEO, at_ms, b"\x27\x01\0\0\0" + _unit(1, size))


def sound(at_ms: int) -> Message:
    return Message(MessageType.AUDIO, at_ms, b"\xaf\x01" + bytes(10))
