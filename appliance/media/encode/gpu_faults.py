"""Why a GPU does not encode, or not one session more: FFmpeg's message, what it means, and whose fault it is.

The texts are those of FFmpeg's nvenc.c (5.1 to 8), of the names that it gives NVENC's errors, and of CUDA's.
That an A100 answers "unsupported device" is from a report; none was seen by us. The session limit of consumer
cards has two texts: older drivers say "out of memory", those of 2024 "incompatible client key" (as OBS Studio
found).
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable


class GpuFault(enum.Enum):
    """What is the matter with a GPU that does not encode."""

    FULL = "full"
    """It works, and takes no encode more: the driver bounds the sessions, or its memory is used up."""
    UNFIT = "unfit"
    """It, its driver or this FFmpeg cannot, now or ever, until somebody changes one of them."""
    LOST = "lost"
    """It did work, or should: it has failed, or is gone."""


_OFF_THE_BUS: Final = "gpu is lost"

_KNOWN: Final = (
    ("unsupported device", GpuFault.UNFIT, "this GPU has no NVENC, as A100, H100 and H200 have none"),
    ("incompatible client key", GpuFault.FULL, "the driver lets no more encodes be open at once"),
    (
        "out of memory (10)",
        GpuFault.FULL,
        "the driver lets no more encodes be open at once, or the GPU's memory is full",
    ),
    ("cuda_error_out_of_memory", GpuFault.FULL, "the GPU's memory is full"),
    ("required nvenc api version", GpuFault.UNFIT, "the driver is too old for this FFmpeg"),
    ("minimum required nvidia driver", GpuFault.UNFIT, "the driver is too old for this FFmpeg"),
    ("cannot load libcuda", GpuFault.UNFIT, "no NVIDIA driver is installed"),
    (
        "cannot load libnvidia-encode",
        GpuFault.UNFIT,
        "the driver was installed without its encoder, libnvidia-encode",
    ),
    (
        "cannot load libnvcuvid",
        GpuFault.UNFIT,
        "the driver was installed without its decoder, libnvcuvid",
    ),
    (
        "cuda_error_system_driver_mismatch",
        GpuFault.UNFIT,
        "the driver's module and its libraries are of two versions: reboot",
    ),
    (
        "cuda_error_no_device",
        GpuFault.LOST,
        "the driver sees no GPU: it is gone, or its device is kept from this process",
    ),
    ("cuda_error_invalid_device", GpuFault.LOST, "there is no GPU of that number"),
    ("cuda_error_device_unavailable", GpuFault.LOST, "the GPU is not to be had"),
    ("cuda_error_ecc_uncorrectable", GpuFault.LOST, "the GPU's memory has an error that it cannot mend"),
    ("cuda_error_unknown", GpuFault.LOST, "the driver does not say what the GPU has: see its Xid messages"),
    (_OFF_THE_BUS, GpuFault.LOST, "the GPU has fallen off the bus: reboot, and see its Xid messages"),
    ("device does not exist", GpuFault.LOST, "the GPU is gone: see its Xid messages"),
    ("unknown encoder", GpuFault.UNFIT, "this FFmpeg was built without NVENC"),
    ("no capable devices found", GpuFault.UNFIT, "no GPU encodes what is asked for"),
    ("no nvenc capable devices found", GpuFault.UNFIT, "no GPU encodes what is asked for"),
)
"""What a message holds, in small letters → what it means. The first that fits counts."""


def explained(message: str) -> str:
    """Returns `message` and, where it is known, what it means."""
    known = _known(message)
    return message if known is None else f"{known[2]} ({message})"


def fault_of(message: str) -> GpuFault | None:
    """Returns what is the matter by `message`; None when it is about no GPU.

    That is what FFmpeg had to say of one stream. A source can bring most of it about, by what it gives the
    decoder, or by pictures that are larger than the card encodes: whether the GPU fails others shows a frame.
    """
    known = _known(message)
    return None if known is None else known[1]


def off_the_bus(message: str) -> bool:
    """Whether `message` alone shows that the GPU has failed: no source and no setting brings it about."""
    return _OFF_THE_BUS in message.lower()


def telling(messages: Iterable[str]) -> str | None:
    """Returns the first of `messages` that is about a GPU; None when there is none.

    What comes after it follows from it: FFmpeg ends with "Invalid argument" or "Function not implemented".
    """
    return next((message for message in messages if _known(message) is not None), None)


def _known(message: str) -> tuple[str, GpuFault, str] | None:
    small = message.lower()
    return next((known for known in _KNOWN if known[0] in small), None)
