"""One fragment: when it plays, whether it begins with a keyframe, and how to move it in time.

Two things FFmpeg 5.1 and 7.1 write need mending (measured): sound begins at a decode time of -1024 ticks, the
encoder's priming, which an unsigned ``tfdt`` cannot say; and with ``+cmaf`` pictures carry negative
composition offsets, for which libavformat's own demuxer shows them two frames late against the sound.
`Fragment.moved` writes the same presentation times with decode times that are early enough for both.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from appliance.media.package.mp4 import Box, Mp4Error, RawFragment, boxes, child, parsing
from appliance.media.package.sample_table import (
    DURATION,
    FLAGS,
    NON_SYNC,
    OFFSET,
    Defaults,
    check_count,
    read_defaults,
    read_table,
)

if TYPE_CHECKING:
    from appliance.media.package.access_units import AccessUnit
    from appliance.media.package.track import Track


@dataclass(frozen=True, slots=True)
class Fragment:
    """Parameters
    ----------
    decode
        Decode time of the first sample, seconds since the run began; may be negative.
    composition
        How much later than that the first sample is shown, seconds.
    duration
        Sum of the samples' durations, seconds.
    samples
        How many.
    keyframe
        Whether the first sample is a sync sample.
    reorder
        Ticks by which composition precedes decoding at most (the depth of negative offsets); 0 where none
        does.
    """

    raw: RawFragment
    decode: Fraction
    composition: Fraction
    duration: Fraction
    samples: int
    keyframe: bool
    reorder: int
    _tfdt: Box
    _decode_time: int
    _offsets: tuple[tuple[int, tuple[int, ...]], ...]

    def moved(self, ticks: int, reorder: int) -> bytes:
        """The fragment's bytes with presentation `ticks` later and decoding `reorder` ticks earlier than
        that.

        Raises Mp4Error when the decode time would be negative or too large for its field.
        """
        moof = bytearray(self.raw.moof)
        # Samples without composition offsets are shown when they are decoded: nothing could make up for an
        # earlier decode time.
        reorder = reorder if self._offsets else 0
        time = self._decode_time + ticks - reorder
        wide = moof[self._tfdt.body] == 1
        if not 0 <= time < (1 << 63 if wide else 1 << 32):
            raise Mp4Error(f"a decode time of {time} ticks does not fit the tfdt")
        struct.pack_into(">Q" if wide else ">I", moof, self._tfdt.body + 4, time)
        if reorder:
            for version_at, places in self._offsets:
                # Signed offsets: a deeper reordering than was seen before stays expressible.
                moof[version_at] = 1
                with parsing("a composition offset"):
                    for place in places:
                        struct.pack_into(
                            ">i", moof, place, struct.unpack_from(">i", moof, place)[0] + reorder
                        )
        return self.raw.prefix + bytes(moof) + self.raw.mdat


@dataclass(frozen=True, slots=True)
class TimedFragment:
    """A fragment on the run's time axis (seconds), with its bytes ready to be published.

    For a Transport Stream they are `units` instead.
    """

    start: Fraction
    end: Fraction
    keyframe: bool
    samples: int
    data: bytes
    units: tuple[AccessUnit, ...] = ()

    @property
    def duration(self) -> Fraction:
        """Seconds."""
        return self.end - self.start


def read_fragment(raw: RawFragment, track: Track) -> Fragment:
    """What `raw` holds. Raises Mp4Error when it is not one track's fragment with a decode time."""
    with parsing("moof"):
        return _read_fragment(raw, track)


def _read_fragment(raw: RawFragment, track: Track) -> Fragment:
    moof = raw.moof
    top = next(boxes(moof), None)
    if top is None or top.kind != b"moof":
        raise Mp4Error("a fragment without moof")
    trafs = [box for box in boxes(moof, top.body, top.end) if box.kind == b"traf"]
    if len(trafs) != 1:
        raise Mp4Error(f"{len(trafs)} track fragments in one moof; one is expected")
    traf = trafs[0]
    default = read_defaults(moof, child(moof, traf, b"tfhd"), track)
    tfdt = child(moof, traf, b"tfdt")
    # Signed on purpose: see the module's text.
    wide = moof[tfdt.body] == 1
    (decode_time,) = struct.unpack_from(">q" if wide else ">I", moof, tfdt.body + 4)
    runs = [_read_run(moof, box, default) for box in boxes(moof, traf.body, traf.end) if box.kind == b"trun"]
    runs = [run for run in runs if run.samples]
    if not runs:
        raise Mp4Error("a fragment without samples")
    check_count(sum(run.samples for run in runs))
    composition = [struct.unpack_from(">i", moof, place)[0] for run in runs for place in run.places]
    first = composition[0] if runs[0].places else 0
    return Fragment(
        raw=raw,
        decode=Fraction(decode_time, track.timescale),
        composition=Fraction(first, track.timescale),
        duration=Fraction(sum(run.duration for run in runs), track.timescale),
        samples=sum(run.samples for run in runs),
        keyframe=not runs[0].first_flags & NON_SYNC,
        reorder=max(0, -min(composition, default=0)),
        _tfdt=tfdt,
        _decode_time=decode_time,
        _offsets=tuple((run.version_at, run.places) for run in runs if run.places),
    )


@dataclass(frozen=True, slots=True)
class _Run:
    samples: int
    duration: int
    first_flags: int
    version_at: int
    places: tuple[int, ...]


def _read_run(moof: bytes, trun: Box, default: Defaults) -> _Run:
    table = read_table(moof, trun)
    total = default.duration * table.count
    if DURATION in table.fields:
        total = sum(struct.unpack_from(">I", moof, place)[0] for place in table.column(DURATION))
    first_flags = default.flags
    if table.first_flags is not None:
        first_flags = table.first_flags
    elif FLAGS in table.fields and table.count:
        (first_flags,) = struct.unpack_from(">I", moof, table.at + 4 * table.fields.index(FLAGS))
    places = tuple(table.column(OFFSET)) if OFFSET in table.fields else ()
    return _Run(table.count, total, first_flags, trun.body, places)
