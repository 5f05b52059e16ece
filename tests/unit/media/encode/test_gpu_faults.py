"""What FFmpeg says when a GPU does not encode: whole outputs, as nvenc.c and reports have them.

Recorded here, with FFmpeg 5.1 and no GPU, were NO_DRIVER and NO_NVENC; the others are from nvenc.c's texts
and from reports of others, none from a card of ours.
"""

from __future__ import annotations

import pytest

from appliance.media.encode.encoder import _reason
from appliance.media.encode.gpu_faults import GpuFault, explained, fault_of, off_the_bus, telling

NO_DRIVER = """\
[h264_nvenc @ 0x55d0c8a7a480] Cannot load libcuda.so.1
Error initializing output stream 0:0 -- Error while opening encoder for output stream #0:0 - maybe incorrect \
parameters such as bit_rate, rate, width or height
Conversion failed!
"""
NO_NVENC = "Unknown encoder 'h264_nvenc'\n"
NO_ENCODER_LIBRARY = """\
[h264_nvenc @ 0x5581] Cannot load libnvidia-encode.so.1
[h264_nvenc @ 0x5581] The minimum required Nvidia driver for nvenc is 570.0 or newer
[vost#0:0/h264_nvenc @ 0x5582] Error while opening encoder - maybe incorrect parameters such as bit_rate, rate
"""
OLD_DRIVER = """\
[h264_nvenc @ 0x5581] Driver does not support the required nvenc API version. Required: 13.0 Found: 12.1
[h264_nvenc @ 0x5581] The minimum required Nvidia driver for nvenc is 570.0 or newer
[vf#0:0 @ 0x5583] Error sending frames to consumers: Function not implemented
Conversion failed!
"""
SESSIONS = """\
[h264_nvenc @ 0x5581] OpenEncodeSessionEx failed: out of memory (10): (no details)
[h264_nvenc @ 0x5581] No capable devices found
Error initializing output stream 0:3 -- Error while opening encoder for output stream #0:3 - maybe incorrect
Conversion failed!
"""
SESSIONS_2024 = """\
[h264_nvenc @ 0x5581] OpenEncodeSessionEx failed: incompatible client key (21): (no details)
[h264_nvenc @ 0x5581] No capable devices found
"""
DATA_CENTRE = """\
[h264_nvenc @ 0x5581] OpenEncodeSessionEx failed: unsupported device (2): (no details)
[h264_nvenc @ 0x5581] No capable devices found
"""
GONE = """\
[h264_nvenc @ 0x5581] dl_fn->cuda_dl->cuInit(0) failed -> CUDA_ERROR_NO_DEVICE: no CUDA-capable device is \
detected
"""
FALLEN = """\
[AVHWDeviceContext @ 0x5581] cu->cuInit(0) failed -> CUDA_ERROR_UNKNOWN: unknown error
Device creation failed: -542398533.
[h264 @ 0x5584] No device available for decoder: device type cuda needed for codec h264.
"""
BROKEN_MEMORY = """\
[h264 @ 0x5584] error while decoding MB 3 4, bytestream -5
[h264 @ 0x5584] ctx->cvdl->cuvidMapVideoFrame(...) failed -> CUDA_ERROR_ECC_UNCORRECTABLE: uncorrectable \
ECC error
"""
WRONG_INDEX = """\
[AVHWDeviceContext @ 0x5581] cu->cuDeviceGet(&hwctx->internal->cuda_device, device_idx) failed -> \
CUDA_ERROR_INVALID_DEVICE: invalid device ordinal
"""
BROKEN_SOURCE = """\
[h264 @ 0x5584] error while decoding MB 3 4, bytestream -5
[in#0 @ 0x5585] Invalid data found when processing input
"""

FULL, UNFIT, LOST = GpuFault.FULL, GpuFault.UNFIT, GpuFault.LOST


@pytest.mark.parametrize(
    ("printed", "fault", "meaning"),
    [
        (NO_DRIVER, UNFIT, "no NVIDIA driver is installed (Cannot load libcuda.so.1)"),
        (NO_NVENC, UNFIT, "this FFmpeg was built without NVENC"),
        (NO_ENCODER_LIBRARY, UNFIT, "the driver was installed without its encoder"),
        (OLD_DRIVER, UNFIT, "the driver is too old for this FFmpeg (Driver does not support the required"),
        (SESSIONS, FULL, "the driver lets no more encodes be open at once, or the GPU's memory is full"),
        (SESSIONS_2024, FULL, "the driver lets no more encodes be open at once ("),
        (DATA_CENTRE, UNFIT, "this GPU has no NVENC"),
        (GONE, LOST, "the driver sees no GPU"),
        (FALLEN, LOST, "the driver does not say what the GPU has"),
        (BROKEN_MEMORY, LOST, "the GPU's memory has an error"),
        (WRONG_INDEX, LOST, "there is no GPU of that number"),
        ("[h264_nvenc @ 0x5581] No capable devices found\n", UNFIT, "no GPU encodes what is asked for"),
        ("No NVENC capable devices found\n", UNFIT, "no GPU encodes what is asked for"),
        ("EncodePicture failed!: device does not exist (5): (no details)\n", LOST, "the GPU is gone"),
    ],
)
def test_what_a_refusal_means_and_whose_fault_it_is(printed: str, fault: GpuFault, meaning: str) -> None:
    message = _reason(printed)
    assert fault_of(message) is fault
    assert explained(message).startswith(meaning)
    assert message in explained(message)


def test_what_may_be_anybodys_fault_is_left_open() -> None:
    message = _reason(BROKEN_SOURCE)
    assert message == "error while decoding MB 3 4, bytestream -5"
    assert fault_of(message) is None
    assert explained(message) == message
    assert telling(BROKEN_SOURCE.splitlines()) is None
    assert _reason("") == "FFmpeg failed without a message"


def test_memory_of_the_host_is_not_the_gpus() -> None:
    assert fault_of("Error while filtering: Cannot allocate memory") is None


def test_only_that_it_is_off_the_bus_needs_no_proof() -> None:
    """A publisher can bring about the decoder's messages, and by large pictures the encoder's."""
    assert off_the_bus("Unable to determine the device handle: GPU is lost")
    for printed in (DATA_CENTRE, GONE, FALLEN, BROKEN_MEMORY, OLD_DRIVER, SESSIONS, BROKEN_SOURCE):
        assert not off_the_bus(printed)
