"""What the codec headers of a stream say: H.264 sequence parameter sets and AAC's AudioSpecificConfig.

Sources: ISO/IEC 14496-15 section 5.3.3 (AVCDecoderConfigurationRecord), ITU-T H.264 sections 7.3.2.1.1 and
E.1.1 (sequence parameter set, VUI), ISO/IEC 14496-3 section 1.6.2.1 (AudioSpecificConfig).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

_CHROMA_PROFILES: Final = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_PROFILE_NAMES: Final = {
    66: "Baseline",
    77: "Main",
    88: "Extended",
    100: "High",
    110: "High 10",
    122: "High 4:2:2",
}
_EXTENDED_SAR: Final = 255
# Table E-1: sample aspect ratios by aspect_ratio_idc.
_SAMPLE_ASPECT: Final = (
    (1, 1), (1, 1), (12, 11), (10, 11), (16, 11), (40, 33), (24, 11), (20, 11), (32, 11), (80, 33), (18, 11),
    (15, 11), (64, 33), (160, 99), (4, 3), (3, 2), (2, 1),
)  # fmt: skip
# Table 1.18: sampling frequencies in Hz by index.
_SAMPLE_RATES: Final = (
    96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350,
)  # fmt: skip
_CHANNELS: Final = (0, 1, 2, 3, 4, 5, 6, 8)


class CodecConfigError(ValueError):
    """The header is cut off or not of this codec."""


@dataclass(frozen=True, slots=True)
class VideoConfig:
    """H.264 as its sequence header states it: sizes in pixels, `fps` None when the VUI has no timing.

    `interlaced` says that pictures may be made of fields.
    """

    profile: int
    level: int
    width: int
    height: int
    sample_aspect: Fraction = Fraction(1)
    fps: Fraction | None = None
    interlaced: bool = False

    @property
    def profile_name(self) -> str:
        """The profile as encoders name it, `profile N` for the rare ones."""
        return _PROFILE_NAMES.get(self.profile, f"profile {self.profile}")


@dataclass(frozen=True, slots=True)
class AudioConfig:
    """AAC as its header states it.

    `object_type` as RFC 6381 names the codec (5 for HE-AAC that says so), `rate` in Hz; `channels` 0 when the
    stream itself tells.
    """

    object_type: int
    rate: int
    channels: int


def parse_avc_config(record: bytes) -> VideoConfig:
    """Returns what the first sequence parameter set of an AVCDecoderConfigurationRecord says.

    Raises CodecConfigError when it is cut off or holds none.
    """
    if len(record) < 8 or record[0] != 1:
        raise CodecConfigError("not an AVCDecoderConfigurationRecord")
    if not record[5] & 0x1F:
        raise CodecConfigError("an AVCDecoderConfigurationRecord without a sequence parameter set")
    length = int.from_bytes(record[6:8])
    unit = record[8 : 8 + length]
    if len(unit) < length or length < 4 or unit[0] & 0x1F != 7:
        raise CodecConfigError("a sequence parameter set that is cut off")
    return _parse_sps(unit)


def parse_audio_config(data: bytes) -> AudioConfig:
    """Returns what an AudioSpecificConfig says. Raises CodecConfigError when it is cut off or reserved."""
    bits = _Bits(data)
    object_type = _audio_object_type(bits)
    rate = _sample_rate(bits)
    channels = bits.read(4)
    if channels >= len(_CHANNELS):
        raise CodecConfigError(f"AAC channel configuration {channels} is reserved")
    if object_type in {5, 29}:  # explicit SBR or PS: the rate that plays is the extension's
        rate = _sample_rate(bits)
    return AudioConfig(object_type, rate, _CHANNELS[channels])


def _audio_object_type(bits: _Bits) -> int:
    object_type = bits.read(5)
    return 32 + bits.read(6) if object_type == 31 else object_type


def _sample_rate(bits: _Bits) -> int:
    index = bits.read(4)
    if index == 15:
        return bits.read(24)
    if index >= len(_SAMPLE_RATES):
        raise CodecConfigError(f"AAC sampling frequency index {index} is reserved")
    return _SAMPLE_RATES[index]


def _parse_sps(unit: bytes) -> VideoConfig:
    # Emulation prevention bytes (section 7.4.1) are no part of the syntax.
    bits = _Bits(unit[1:].replace(b"\0\0\3", b"\0\0"))
    profile, _constraints, level = bits.read(8), bits.read(8), bits.read(8)
    bits.exp_golomb()  # seq_parameter_set_id
    chroma = 1
    if profile in _CHROMA_PROFILES:
        chroma = _skip_chroma(bits)
    bits.exp_golomb()  # log2_max_frame_num_minus4
    _skip_picture_order(bits)
    bits.exp_golomb()  # max_num_ref_frames
    bits.read(1)  # gaps_in_frame_num_value_allowed_flag
    width = (bits.exp_golomb() + 1) * 16
    height_units = bits.exp_golomb() + 1
    frames_only = bits.read(1)
    height = (2 - frames_only) * height_units * 16
    if not frames_only:
        bits.read(1)  # mb_adaptive_frame_field_flag
    bits.read(1)  # direct_8x8_inference_flag
    if bits.read(1):
        left, right, top, bottom = (bits.exp_golomb() for _ in range(4))
        unit_x = 2 if chroma in {1, 2} else 1
        unit_y = (2 if chroma == 1 else 1) * (2 - frames_only)
        width -= unit_x * (left + right)
        height -= unit_y * (top + bottom)
    if width <= 0 or height <= 0:
        raise CodecConfigError(f"a sequence parameter set for {width}x{height} pixels")
    aspect, fps = _vui(bits) if bits.read(1) else (Fraction(1), None)
    return VideoConfig(profile, level, width, height, aspect, fps, interlaced=not frames_only)


def _skip_chroma(bits: _Bits) -> int:
    chroma = bits.exp_golomb()
    if chroma == 3:
        bits.read(1)  # separate_colour_plane_flag
    bits.exp_golomb()  # bit_depth_luma_minus8
    bits.exp_golomb()  # bit_depth_chroma_minus8
    bits.read(1)  # qpprime_y_zero_transform_bypass_flag
    if bits.read(1):
        for index in range(12 if chroma == 3 else 8):
            if bits.read(1):
                _skip_scaling_list(bits, 16 if index < 6 else 64)
    return chroma


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed_exp_golomb() + 256) % 256
        last = following or last


def _skip_picture_order(bits: _Bits) -> None:
    order = bits.exp_golomb()
    if order == 0:
        bits.exp_golomb()
    elif order == 1:
        bits.read(1)
        bits.signed_exp_golomb()
        bits.signed_exp_golomb()
        for _ in range(bits.exp_golomb()):
            bits.signed_exp_golomb()


def _vui(bits: _Bits) -> tuple[Fraction, Fraction | None]:
    aspect = Fraction(1)
    if bits.read(1):
        index = bits.read(8)
        if index == _EXTENDED_SAR:
            across, down = bits.read(16), bits.read(16)
            aspect = Fraction(across, down) if across and down else aspect
        elif index < len(_SAMPLE_ASPECT):
            aspect = Fraction(*_SAMPLE_ASPECT[index])
    if bits.read(1):
        bits.read(1)  # overscan_appropriate_flag
    if bits.read(1):
        bits.read(4)  # video_format, video_full_range_flag
        if bits.read(1):
            bits.read(24)  # colour description
    if bits.read(1):
        bits.exp_golomb()  # chroma_sample_loc_type_top_field
        bits.exp_golomb()  # chroma_sample_loc_type_bottom_field
    if not bits.read(1):
        return aspect, None
    tick, scale = bits.read(32), bits.read(32)
    # A frame lasts two ticks: a tick is a field's time (section E.2.1).
    return aspect, Fraction(scale, 2 * tick) if tick and scale else None


class _Bits:
    """Reads bits, most significant first (section 7.2)."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data)
        self._left = 8 * len(data)

    def read(self, count: int) -> int:
        if count > self._left:
            raise CodecConfigError("a codec header that is cut off")
        self._left -= count
        return self._value >> self._left & (1 << count) - 1

    def exp_golomb(self) -> int:
        zeros = 0
        while not self.read(1):
            zeros += 1
            if zeros > 32:
                raise CodecConfigError("an exp-Golomb code longer than 32 bits")
        return (1 << zeros) - 1 + self.read(zeros)

    def signed_exp_golomb(self) -> int:
        code = self.exp_golomb()
        return (code + 1) // 2 if code & 1 else -(code // 2)
