"""FLV: the headers of RTMP's audio and video payloads, and a writer of the file format.

Source: *Adobe Flash Video File Format Specification* 10.1, annex E. RTMP carries the tag bodies as they are.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from appliance.media.rtmp import amf
from appliance.media.rtmp.chunks import Message, MessageType

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST_METADATA: Final = 64 * 1024
"""Bytes; encoders send 1 kB. Nested arrays take Python far longer than their size says."""

AVC: Final = 7
_COMMAND_FRAME: Final = 5
AAC: Final = 10
VIDEO_CODECS: Final = {
    2: "H.263",
    3: "Screen",
    4: "VP6",
    5: "VP6 with alpha",
    6: "Screen 2",
    7: "H.264",
    12: "HEVC",
}
AUDIO_CODECS: Final = {
    0: "PCM",
    1: "ADPCM",
    2: "MP3",
    3: "PCM",
    5: "Nellymoser",
    10: "AAC",
    11: "Speex",
    14: "MP3",
}


class PacketKind(enum.Enum):
    """What a payload holds."""

    SEQUENCE_HEADER = "sequence header"
    KEYFRAME = "keyframe"
    FRAME = "frame"
    END_OF_SEQUENCE = "end of sequence"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class Packet:
    """The header of one audio or video payload: codec number, kind, and where the codec's own bytes begin."""

    codec: int
    kind: PacketKind
    body: int


class FlvError(ValueError):
    """The payload is cut off or of a form that is not read here."""


class CutOffError(FlvError):
    """The payload ends within its header, and nothing says that it is a sequence header."""


def parse_video(payload: bytes) -> Packet:
    """Returns the header of a video payload (E.4.3.1).

    Raises CutOffError for a frame that is cut off; FlvError for a sequence header that is, and for Enhanced
    RTMP's form, which nginx-rtmp does not carry.
    """
    if not payload:
        raise CutOffError("an empty video message")
    if payload[0] & 0x80:
        raise FlvError(f"Enhanced RTMP video {payload[1:5]!r}; only H.264 is supported")
    codec, keyframe = payload[0] & 0x0F, payload[0] >> 4 == 1
    if payload[0] >> 4 == _COMMAND_FRAME:
        # One byte follows, a command for a player's seeking, whatever the codec.
        return Packet(codec, PacketKind.COMMAND, 1)
    frame = PacketKind.KEYFRAME if keyframe else PacketKind.FRAME
    if codec != AVC:
        return Packet(codec, frame, 1)
    if len(payload) < 5:
        if payload[1:2] == b"\0":
            raise FlvError("a video sequence header that is cut off")
        raise CutOffError("a video message that is cut off")
    if payload[1] == 0:
        return Packet(codec, PacketKind.SEQUENCE_HEADER, 5)
    if payload[1] == 2:
        return Packet(codec, PacketKind.END_OF_SEQUENCE, 5)
    return Packet(codec, frame, 5)


def parse_audio(payload: bytes) -> Packet:
    """Returns the header of an audio payload (E.4.2.1). Raises CutOffError when it is cut off."""
    if not payload:
        raise CutOffError("an empty audio message")
    codec = payload[0] >> 4
    if codec != AAC:
        return Packet(codec, PacketKind.FRAME, 1)
    if len(payload) < 2:
        raise CutOffError("an audio message that is cut off")
    return Packet(codec, PacketKind.FRAME if payload[1] else PacketKind.SEQUENCE_HEADER, 2)


def file_header(*, video: bool, audio: bool) -> bytes:
    """Returns the FLV header and the first back pointer (E.2, E.3)."""
    return b"FLV\x01" + bytes((4 * audio | video,)) + (9).to_bytes(4) + bytes(4)


def tag(kind: int, timestamp_ms: int, payload: bytes) -> bytes:
    """Returns one tag with its back pointer (E.4.1); `kind` is the RTMP message type, time wraps at 2**32."""
    time = (timestamp_ms & 0xFFFFFF).to_bytes(3) + (timestamp_ms >> 24 & 0xFF).to_bytes(1)
    head = bytes((kind,)) + len(payload).to_bytes(3) + time + bytes(3)
    return b"".join((head, payload, (len(head) + len(payload)).to_bytes(4)))


def metadata_tag(entries: Mapping[str, amf.AmfValue]) -> bytes:
    """Returns an `onMetaData` script tag at time 0 (E.5)."""
    return tag(MessageType.DATA_AMF0, 0, amf.encode("onMetaData") + amf.encode_ecma_array(entries))


def read_metadata(message: Message) -> dict[str, amf.AmfValue] | None:
    """Returns the entries of an `onMetaData` message, None when `message` is another, broken or too long."""
    if len(message.payload) > _LONGEST_METADATA:
        return None
    try:
        values = amf.decode(message.payload)
    except amf.AmfError:
        return None
    if values[:1] == ["@setDataFrame"]:
        values = values[1:]
    if values[:1] != ["onMetaData"] or len(values) < 2 or not isinstance(values[1], dict):
        return None
    return values[1]
