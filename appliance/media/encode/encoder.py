"""Which video encoder a host uses: found by encoding, never by seeing a GPU.

Data-centre GPUs (A100, H100, H200) decode but have no NVENC, and a driver can refuse a session. A host may
have such a one beside one that encodes: each is tried, and a stream is told which.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from appliance.errors import EX_UNAVAILABLE, OperatorError
from appliance.media.encode.gpu_faults import GpuFault, explained, fault_of, telling
from appliance.media.encode.gpus import environment_of
from appliance.subprocesses import NOT_THERE, TOO_LONG, run_program

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from appliance.media.encode.gpus import GpuId
    from appliance.media.encode.ladder import EncoderFamily
    from appliance.settings import EncoderPreference

    Trial = Callable[[EncoderFamily, GpuId | None], Awaitable[str | None]]
    """Says in words why one frame is not encoded; None when it is."""

log = logging.getLogger(__name__)

CODECS: Final[dict[EncoderFamily, str]] = {"nvenc": "h264_nvenc", "x264": "libx264"}
"""FFmpeg's name of each family's H.264 encoder."""

NVENC_GPU: Final = ("-gpu:v", "0")
"""CUDA's first device, on which FFmpeg decodes, too: by itself NVENC would go through all of them."""

_TRIAL_S: Final = 10.0
"""Longest trial; the first CUDA context on a cold driver takes 2-3 s."""


@dataclass(frozen=True, slots=True)
class EncoderChoice:
    """The encoder and, in words, why. `stands_in` for one that has failed with the publisher of now.

    `placed`: the control service has said so, when it let that publisher in. `gpu` is the one that encodes;
    None is CUDA's first, where nobody knows its name. x264 that stands in for a GPU has that one as
    `instead_of`, where it is known, and as `fault` what was the matter.
    """

    family: EncoderFamily
    reason: str
    stands_in: bool = False
    placed: bool = False
    gpu: GpuId | None = None
    instead_of: GpuId | None = None
    fault: GpuFault | None = None

    @property
    def codec(self) -> str:
        """FFmpeg's name of the encoder."""
        return CODECS[self.family]


async def choose_encoder(
    preference: EncoderPreference,
    *,
    gpus: Sequence[GpuId | None] = (None,),
    trial: Trial | None = None,
    ffmpeg: str = "ffmpeg",
) -> EncoderChoice:
    """Returns NVENC on the first of `gpus` that encodes a frame, else x264; `preference` other than auto
    decides alone.

    `trial` stands in for `try_encoder`. Raises OperatorError (EX_UNAVAILABLE) when the encoder that was asked
    for, or x264, does not work here.
    """

    async def by_ffmpeg(family: EncoderFamily, gpu: GpuId | None) -> str | None:
        return await try_encoder(family, gpu=gpu, ffmpeg=ffmpeg)

    encodes = trial or by_ffmpeg
    choice = EncoderChoice("x264", "the setting `encoder` says x264")
    failures: dict[GpuId | None, str] = {}
    for gpu in gpus if preference != "x264" else ():
        failure = await encodes("nvenc", gpu)
        if failure is None:
            return _chosen(EncoderChoice("nvenc", "NVENC has encoded a frame", gpu=gpu))
        failures[gpu] = failure
    if preference == "nvenc":
        raise _none(preference, CODECS["nvenc"], _listed(failures))
    if failures:
        faults = [fault_of(failure) for failure in failures.values()]
        why = _listed({gpu: explained(failure) for gpu, failure in failures.items()})
        fault = GpuFault.FULL if GpuFault.FULL in faults else faults[0]
        choice = EncoderChoice("x264", f"NVENC does not work here: {why}", fault=fault)
    failure = await encodes("x264", None)
    if failure is not None:
        raise _none(preference, choice.codec, failure)
    return _chosen(choice)


async def try_encoder(
    family: EncoderFamily, *, gpu: GpuId | None = None, ffmpeg: str = "ffmpeg"
) -> str | None:
    """Encodes one frame with `family`; returns None when that works, else FFmpeg's reason in one line.

    With NVENC on `gpu`, or on CUDA's first.
    """
    command = [
        *(ffmpeg, "-hide_banner", "-nostdin", "-loglevel", "error"),
        # NVENC refuses pictures below 145x49 pixels.
        *("-f", "lavfi", "-i", "color=black:size=320x180:rate=30", "-frames:v", "1", "-pix_fmt", "yuv420p"),
        *("-c:v", CODECS[family]),
        *(NVENC_GPU if family == "nvenc" else ()),
        *("-f", "null", "-"),
    ]
    done = await run_program(*command, seconds=_TRIAL_S, environment=environment_of(gpu))
    if done.status == NOT_THERE:
        return f"{ffmpeg} cannot be started: {done.said.removeprefix(f'{ffmpeg}: ')}"
    if done.status == TOO_LONG:
        return f"no frame within {_TRIAL_S:g} s"
    return None if done.status == 0 else _reason(done.errors)


def _chosen(choice: EncoderChoice) -> EncoderChoice:
    log.info("encoder %s: %s", choice.family, choice.reason)
    return choice


def _listed(failures: Mapping[GpuId | None, str]) -> str:
    """Why none of several GPUs encodes; of one alone, why it does not."""
    if len(failures) == 1:
        return next(iter(failures.values()))
    return "; ".join(f"{gpu}: {failure}" for gpu, failure in failures.items())


def _none(preference: EncoderPreference, codec: str, failure: str) -> OperatorError:
    return OperatorError(
        f"encoder: {preference} is set, and {codec} does not work on this host: {failure}",
        exit_code=EX_UNAVAILABLE,
        hint="set `encoder: auto` to fall back to x264, or run: ffmpeg -hide_banner -encoders",
    )


def _reason(stderr: str) -> str:
    """Returns the first line about a GPU, else the first, without `[h264_nvenc @ 0x…]`: others follow."""
    lines = [text for line in stderr.splitlines() if (text := line.rpartition("] ")[2].strip())]
    return telling(lines) or (lines[0] if lines else "FFmpeg failed without a message")
