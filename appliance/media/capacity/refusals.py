"""Why a GPU does not encode, or not one session more: FFmpeg's message, and what it means.

The texts are those of FFmpeg's nvenc.c and of the names that it gives NVENC's errors. That an A100 answers
"unsupported device" is from a report; none was seen by us. The session limit of consumer cards has two texts:
older drivers say "out of memory", those of 2024 "incompatible client key" (as OBS Studio found).
"""

from __future__ import annotations

from typing import Final

_MEANINGS: Final = (
    ("unsupported device", "this GPU has no NVENC, as A100, H100 and H200 have none"),
    ("incompatible client key", "the driver lets no more encodes be open at once"),
    ("out of memory", "the driver lets no more encodes be open at once, or the GPU's memory is full"),
    ("required nvenc api version", "the driver is too old for this FFmpeg"),
    ("cannot load libcuda", "no NVIDIA driver is installed"),
    ("cannot load libnvidia-encode", "the driver was installed without its encoder, libnvidia-encode"),
    ("cuda_error_no_device", "the driver sees no GPU: its device may be kept from this process"),
    ("gpu is lost", "the GPU has fallen off the bus: reboot, and see the kernel's Xid messages"),
    ("unknown encoder", "this FFmpeg was built without NVENC"),
    ("no capable devices found", "no GPU encodes what is asked for"),
)
"""What a message holds, in small letters → what it means. The first that fits counts."""


def explained(message: str) -> str:
    """Returns `message` and, where it is known, what it means."""
    small = message.lower()
    meaning = next((words for text, words in _MEANINGS if text in small), None)
    return message if meaning is None else f"{meaning} ({message})"
