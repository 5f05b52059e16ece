"""The chunk stream: every cut of the bytes gives the same messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.media.rtmp.chunks import ChunkDecoder, ChunkEncoder, Message, MessageType, ProtocolError

_messages = st.builds(
    Message,
    st.sampled_from([MessageType.AUDIO, MessageType.VIDEO, MessageType.DATA_AMF0]),
    st.integers(0, 2**32 - 1) | st.sampled_from([0xFFFFFE, 0xFFFFFF, 0x1000000]),
    st.binary(min_size=1, max_size=700),
    st.integers(0, 5),
)


@given(
    st.lists(st.tuples(_messages, st.integers(2, 63)), max_size=6),
    st.lists(st.integers(1, 300), min_size=1, max_size=40),
    st.sampled_from([1, 128, 4096]),
)
def test_messages_survive_any_cut(sent: list[tuple[Message, int]], cuts: list[int], chunk_size: int) -> None:
    encoder, decoder = ChunkEncoder(), ChunkDecoder()
    change = Message(MessageType.SET_CHUNK_SIZE, 0, chunk_size.to_bytes(4))
    data = encoder.encode(change, 2)
    encoder.chunk_size = chunk_size
    data += b"".join(encoder.encode(message, stream) for message, stream in sent)
    got: list[Message] = []
    at = turn = 0
    while at < len(data):
        step = cuts[turn % len(cuts)]
        got += decoder.feed(data[at : at + step])
        at, turn = at + step, turn + 1
    assert got == [change, *(message for message, _ in sent)]


@given(st.binary(max_size=400))
def test_any_bytes_are_messages_or_an_error(data: bytes) -> None:
    try:
        ChunkDecoder().feed(data)
    except ProtocolError:
        return


def _header(form: int, *fields: bytes) -> bytes:
    return bytes((form << 6 | 4,)) + b"".join(fields)


def test_shorter_headers_take_over_what_they_leave_out() -> None:
    """Section 5.3.1.2: type 1 has a delta, length and type; type 2 a delta; type 3 nothing."""
    data = _header(0, (1000).to_bytes(3), (1).to_bytes(3), b"\x09", b"\x01\0\0\0", b"a")
    data += _header(1, (40).to_bytes(3), (2).to_bytes(3), b"\x08", b"bc")
    data += _header(2, (20).to_bytes(3), b"de")
    data += _header(3, b"fg")
    assert ChunkDecoder().feed(data) == [
        Message(9, 1000, b"a", 1),
        Message(8, 1040, b"bc", 1),
        Message(8, 1060, b"de", 1),
        Message(8, 1080, b"fg", 1),
    ]


@pytest.mark.parametrize("repeated", [True, False])
def test_an_extended_timestamp_is_taken_with_and_without_its_repetition(repeated: bool) -> None:
    """Section 5.3.1.3 repeats it in type 3 chunks; not every sender does."""
    moment = (0x01020304).to_bytes(4)
    payload = bytes(range(200))
    data = _header(0, b"\xff\xff\xff", (200).to_bytes(3), b"\x09", bytes(4), moment, payload[:128])
    data += _header(3, moment if repeated else b"", payload[128:])
    assert ChunkDecoder().feed(data) == [Message(9, 0x01020304, payload, 0)]


def test_timestamps_wrap() -> None:
    data = _header(0, b"\xff\xff\xff", (1).to_bytes(3), b"\x09", bytes(4), b"\xff\xff\xff\xf0", b"a")
    data += _header(1, (32).to_bytes(3), (1).to_bytes(3), b"\x09", b"b")
    assert [message.timestamp for message in ChunkDecoder().feed(data)] == [0xFFFFFFF0, 0x10]


def test_abort_drops_what_was_begun() -> None:
    begun = _header(0, bytes(3), (200).to_bytes(3), b"\x09", bytes(4), bytes(128))
    abort = ChunkEncoder().encode(Message(MessageType.ABORT, 0, (4).to_bytes(4)), 2)
    whole = _header(0, bytes(3), (1).to_bytes(3), b"\x09", bytes(4), b"x")
    assert ChunkDecoder().feed(begun + abort + whole)[-1] == Message(9, 0, b"x", 0)


def test_chunk_stream_numbers_of_two_and_three_bytes() -> None:
    tail = bytes(3) + (1).to_bytes(3) + b"\x09" + bytes(4) + b"x"
    assert len(ChunkDecoder().feed(b"\x00\x05" + tail + b"\x01\x05\x01" + tail)) == 2


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xc4", "begins with a chunk of type 3"),
        (b"\x02" + bytes(3) + (4).to_bytes(3) + b"\x01" + bytes(4) + bytes(4), "chunk size 0"),
    ],
)
def test_refusals_name_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason):
        ChunkDecoder().feed(data)
