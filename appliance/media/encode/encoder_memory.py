"""What encoders did when they were tried, remembered until the host boots: trying NVENC takes about a second.

For all streams of the host, in the unit's runtime directory (`$RUNTIME_DIRECTORY`, systemd.exec(5)): tmpfs,
so that a boot forgets it. A file for each encoder and each GPU, and one for which GPUs there are. It counts
for the FFmpeg and the driver that it was made with.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from appliance.errors import OperatorError
from appliance.media.encode.encoder import choose_encoder, try_encoder
from appliance.media.encode.gpu_faults import GpuFault, fault_of
from appliance.media.encode.gpus import GpuId, find_gpus
from appliance.media.plain_file import read_plain
from appliance.media.storage import Storage, StorageError
from appliance.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.media.encode.encoder import EncoderChoice
    from appliance.media.encode.ladder import EncoderFamily
    from appliance.settings import EncoderPreference

log = logging.getLogger(__name__)

SHARED: Final = "appliance-stream"
"""The runtime directory that all streams' units share."""

SHARED_DIRECTORY: Final = Path("/run", SHARED)
"""The same, for those who are no stream's unit (roles/origin, stream@.service)."""

NVIDIA_DEVICE: Final = Path("/dev/nvidiactl")

_DRIVER: Final = Path("/sys/module/nvidia/version")
_GPUS: Final = "gpus.json"
_BESIDE_A_GPU_S: Final = 600.0
"""How long a GPU that encodes nothing is not tried again: the driver may only have been busy."""
_LARGEST: Final = 16 * 1024
"""Bytes; more than any of the files has."""
_LONGEST_FAILURE: Final = 1000
_LISTED_S: Final = 3.0
"""Longest wait for the names of GPUs, with which a stream begins."""


def shared_directory() -> Path | None:
    """The runtime directory that this unit shares with all streams' units; None outside of such a unit."""
    folders = [Path(text) for text in os.environ.get("RUNTIME_DIRECTORY", "").split(":")]
    return next((folder for folder in folders if folder.name == SHARED), None)


class EncoderMemory:
    """Chooses the encoder for `preference`, by what is remembered, or by trying.

    Parameters
    ----------
    directory
        Where it is kept; None, as outside of a unit, remembers nothing.
    """

    def __init__(
        self,
        preference: EncoderPreference,
        *,
        directory: Path | None,
        ffmpeg: str = "ffmpeg",
        device: Path = NVIDIA_DEVICE,
    ) -> None:
        self._preference = preference
        self._storage = None if directory is None else Storage(directory)
        self._ffmpeg = ffmpeg
        self._device = device

    @classmethod
    def of_unit(
        cls, preference: EncoderPreference, *, ffmpeg: str = "ffmpeg", device: Path = NVIDIA_DEVICE
    ) -> EncoderMemory:
        """Remembers in the unit's runtime directory."""
        return cls(preference, directory=shared_directory(), ffmpeg=ffmpeg, device=device)

    async def gpus(self) -> list[GpuId]:
        """Returns the GPUs that may be tried, in nvidia-smi's order.

        None where the setting wants none, and where nobody tells their names: what is tried then is CUDA's
        first. Those in MIG mode are left out, as `appliance gpu probe` does.
        """
        if self._preference == "x264" or not self._device.exists():
            return []
        kept = self._read(_GPUS)
        try:
            return [GpuId.parse(each) for each in kept["gpus"]]
        except (ValueError, TypeError, KeyError, OverflowError):
            pass
        try:
            found = [gpu.id for gpu in await find_gpus(seconds=_LISTED_S) if not gpu.mig]
        except OperatorError as error:
            log.warning("CUDA's first GPU is tried: %s", error)
            return []
        self._write(_GPUS, {"gpus": [asdict(gpu) for gpu in found]})
        return found

    async def choose(self, gpus: Sequence[GpuId] | None = None) -> EncoderChoice:
        """Returns NVENC on the first of `gpus` (None: of all) that encodes, else x264.

        Raises OperatorError as `choose_encoder` does.
        """
        among = await self.gpus() if gpus is None else gpus
        return await choose_encoder(self._preference, gpus=among or (None,), trial=self._trial)

    def forget(self, gpu: GpuId | None) -> None:
        """`gpu` has failed, or works again: it is tried when it is asked for next."""
        if self._storage is not None:
            self._storage.delete(_file("nvenc", gpu))

    async def _trial(self, family: EncoderFamily, gpu: GpuId | None) -> str | None:
        try:
            failure = _kept_failure(self._read(_file(family, gpu)), time.time())
            if failure is None or self._gives_up(family, failure):
                return failure
        except (ValueError, TypeError, KeyError, OverflowError):
            pass  # nothing is kept, nothing that counts any more, or what nobody of us has written
        failure = await try_encoder(family, gpu=gpu, ffmpeg=self._ffmpeg)
        if failure is None or self._gives_up(family, failure):
            beside = failure is not None and self._device.exists()
            expires = time.time() + _BESIDE_A_GPU_S if beside else None
            self._write(_file(family, gpu), {"failure": failure, "expires": expires})
        return failure

    def _gives_up(self, family: EncoderFamily, failure: str) -> bool:
        """Whether something else encodes, for as long as that counts: no GPU is full for a known time."""
        return family == "nvenc" and self._preference == "auto" and fault_of(failure) is not GpuFault.FULL

    def _circumstances(self) -> list[object]:
        path = shutil.which(self._ffmpeg)
        program = None
        if path is not None:
            status = Path(path).stat()
            program = [path, status.st_ino, status.st_size, status.st_mtime_ns]
        try:
            driver = _DRIVER.read_text(encoding="utf-8").strip()
        except OSError:
            driver = None
        return [program, driver, self._device.exists()]

    def _read(self, file: str) -> dict[str, Any]:
        """What `file` holds; nothing when it was made with anything else than there is now."""
        if self._storage is None:
            return {}
        # Any stream's process can write there: a FIFO would block, and a large file fill the memory.
        data = read_plain(self._storage.directory / file, largest=_LARGEST)
        try:
            kept = json.loads(data or b"null")
        except (ValueError, RecursionError):
            return {}
        if not isinstance(kept, dict) or kept.get("made_for") != self._circumstances():
            return {}
        return kept

    def _write(self, file: str, kept: dict[str, object]) -> None:
        if self._storage is None:
            return
        try:
            self._storage.write(file, json.dumps({"made_for": self._circumstances(), **kept}).encode())
        except StorageError as error:
            log.warning("how an encoder did is not kept: %s", error)


def _kept_failure(kept: dict[str, Any], now: float) -> str | None:
    """How an encoder did, by `kept`, as `try_encoder` says it.

    Raises ValueError, TypeError, KeyError or OverflowError when that does not count at `now`, or is no such
    file.
    """
    failure, expires = kept["failure"], kept["expires"]
    # No further ahead than it is written: the clock may have been set back.
    if expires is not None and not now < float(expires) <= now + _BESIDE_A_GPU_S:
        raise ValueError("expired")
    if failure is None:
        return None
    if not isinstance(failure, str):
        raise TypeError("no text")
    return printable(failure)[:_LONGEST_FAILURE]


def _file(family: EncoderFamily, gpu: GpuId | None) -> str:
    return f"encoder-{family if gpu is None else gpu.uuid}.json"
