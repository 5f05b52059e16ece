"""Fragmented MP4 made by hand, and a packager fed with it."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from appliance.media.package.rendition import Rendition

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.media.package.packager import Packager

STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HIGH, LOW, AUDIO = Rendition("720p", "video"), Rendition("360p", "video"), Rendition("audio", "audio")


def box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body


@dataclass
class Mp4:
    """One track; `video` False makes it AAC sound with 1024 ticks a sample."""

    video: bool = True
    timescale: int = 15360
    sample_ticks: int = 512
    width: int = 640
    height: int = 360
    marker: bytes = b""
    time: int = 0

    def init(self) -> bytes:
        if self.video:
            avcc = box(b"avcC", bytes.fromhex("0164001eff"), self.marker)
            entry = box(b"avc1", bytes(24), struct.pack(">HH", self.width, self.height), bytes(50), avcc)
        else:
            specific = bytes([5, 2, 0x11, 0x90])  # AAC-LC, 48 kHz, two channels
            config = bytes([4, 13 + len(specific), 0x40]) + bytes(12) + specific
            descriptor = bytes([3, 0x80, 3 + len(config), 0, 0, 0]) + config
            entry = box(b"mp4a", bytes(28), box(b"esds", bytes(4), descriptor))
        stsd = box(b"stsd", bytes(4), struct.pack(">I", 1), entry)
        mdhd = box(b"mdhd", bytes(12), struct.pack(">II", self.timescale, 0), bytes(4))
        hdlr = box(b"hdlr", bytes(8), b"vide" if self.video else b"soun", bytes(13))
        tkhd = box(b"tkhd", bytes(76), struct.pack(">II", self.width << 16, self.height << 16))
        trak = box(b"trak", tkhd, box(b"mdia", mdhd, hdlr, box(b"minf", box(b"stbl", stsd))))
        trex = box(b"trex", bytes(4), struct.pack(">IIIII", 1, 1, 0, 0, 0))
        return box(b"ftyp", b"iso6") + box(b"moov", trak, box(b"mvex", trex))

    def fragment(
        self,
        samples: int = 8,
        *,
        keyframe: bool = False,
        offsets: tuple[int, ...] | None = None,
        payload: int = 100,
        skip: int = 0,
    ) -> bytes:
        """The next `samples`, after `skip` ticks of nothing; `offsets` are composition offsets in ticks."""
        self.time += skip
        # A picture is one slice: its length, then its kind.
        size = max(payload // samples, 5) if self.video else payload // samples
        pictures = [struct.pack(">IB", size - 4, 0x41) + b"m" * (size - 5)] * samples if self.video else []
        if pictures and keyframe:
            pictures[0] = struct.pack(">IB", size - 4, 0x65) + b"m" * (size - 5)
        default_flags = 0x01010000 if self.video else 0x02000000
        tfhd = box(b"tfhd", struct.pack(">IIIII", 0x020038, 1, self.sample_ticks, size, default_flags))
        tfdt = box(b"tfdt", struct.pack(">Iq", 0x01000000, self.time))
        flags = 0x1 | (0x4 if keyframe else 0) | (0x800 if offsets else 0) | 0x01000000
        trun = struct.pack(">III", flags, samples, 0) + (struct.pack(">I", 0x02000000) if keyframe else b"")
        trun += b"".join(struct.pack(">i", value) for value in offsets or ())
        moof = box(b"moof", box(b"mfhd", bytes(8)), box(b"traf", tfhd, tfdt, box(b"trun", trun)))
        self.time += samples * self.sample_ticks
        return moof + box(b"mdat", *pictures or [b"m" * (size * samples)])

    def seconds(self, seconds: float, *, key_every: float = 2.0) -> bytes:
        """Fragments of a quarter of a second (nearly, for sound) with a keyframe each `key_every` seconds."""
        end = self.time + round(seconds * self.timescale)
        step = max(1, round(self.timescale / 4 / self.sample_ticks))
        out = b""
        while self.time + step * self.sample_ticks <= end:
            due = self.time % round(key_every * self.timescale) < step * self.sample_ticks
            out += self.fragment(step, keyframe=self.video and due)
        return out


def sound() -> Mp4:
    return Mp4(video=False, timescale=48000, sample_ticks=1024, width=0, height=0, time=-1024)


def pictures(timescale: int = 16000) -> Mp4:
    """25 frames a second would not divide a quarter; 32 do."""
    return Mp4(timescale=timescale, sample_ticks=timescale // 32)


def run(
    packager: Packager,
    seconds: float,
    *,
    renditions: tuple[Rendition, ...] = (HIGH, LOW, AUDIO),
    at: float = 0,
    end: bool = True,
    seed: int = 0,
    tracks: Mapping[str, Mp4] | None = None,
) -> None:
    """`seconds` of media, begun `at` seconds after STARTED, with the pipes in pieces of any size."""
    packager.begin(renditions, started_at=STARTED + timedelta(seconds=at))
    made = {item.name: pictures() if item.kind == "video" else sound() for item in renditions}
    made |= tracks or {}
    data = {name: mp4.init() + mp4.seconds(seconds) for name, mp4 in made.items()}
    chance = random.Random(seed)
    at_byte = dict.fromkeys(data, 0)
    while rest := [name for name in data if at_byte[name] < len(data[name])]:
        # The one that is furthest behind, mostly: pipes of one FFmpeg go in step.
        name = min(rest, key=lambda item: at_byte[item] / len(data[item]) + chance.random() / 10)
        size = chance.randint(1, 3000)
        packager.feed(name, data[name][at_byte[name] : at_byte[name] + size])
        at_byte[name] += size
    if end:
        packager.end_run()
