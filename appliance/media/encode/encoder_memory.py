"""The encoder that a host has chosen, remembered until it boots: trying NVENC takes about a second.

One file for all streams of the host, in the unit's runtime directory (`$RUNTIME_DIRECTORY`, systemd.exec(5)):
tmpfs, so that a boot forgets it. It counts for the FFmpeg, the driver and the setting that it was made with.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from appliance.media.encode.encoder import EncoderChoice, choose_encoder
from appliance.media.encode.gpu_faults import GpuFault
from appliance.media.encode.ladder import FAMILIES
from appliance.media.storage import Storage, StorageError

if TYPE_CHECKING:
    from appliance.settings import EncoderPreference

log = logging.getLogger(__name__)

SHARED: Final = "appliance-stream"
"""The runtime directory that all streams' units share."""

SHARED_DIRECTORY: Final = Path("/run", SHARED)
"""The same, for those who are no stream's unit (roles/origin, stream@.service)."""

FILE: Final = "encoder.json"
_DRIVER: Final = Path("/sys/module/nvidia/version")
NVIDIA_DEVICE: Final = Path("/dev/nvidiactl")
_BESIDE_A_GPU_S: Final = 600.0
"""How long x264 stays the choice on a host that has a GPU: the driver may only have been busy."""


def shared_directory() -> Path | None:
    """The runtime directory that this unit shares with all streams' units; None outside of such a unit."""
    folders = [Path(text) for text in os.environ.get("RUNTIME_DIRECTORY", "").split(":")]
    return next((folder for folder in folders if folder.name == SHARED), None)


class EncoderMemory:
    """Chooses the encoder for `preference`, or remembers it.

    Parameters
    ----------
    directory
        Where the choice is kept; None, as outside of a unit, remembers nothing.
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
    def of_unit(cls, preference: EncoderPreference, *, ffmpeg: str = "ffmpeg") -> EncoderMemory:
        """Remembers in the unit's runtime directory."""
        return cls(preference, directory=shared_directory(), ffmpeg=ffmpeg)

    async def choose(self) -> EncoderChoice:
        """Returns what is remembered, else what `choose_encoder` finds. Raises OperatorError as that does."""
        made_for = self._circumstances()
        if (known := self._read(made_for)) is not None:
            log.info("encoder %s, as found before: %s", known.family, known.reason)
            return known
        choice = await choose_encoder(self._preference, ffmpeg=self._ffmpeg)
        if choice.fault is GpuFault.FULL:
            return choice  # for as long as those encode who do now, which nobody knows
        expires = None
        if choice.family == "x264" and self._preference == "auto" and self._device.exists():
            expires = time.time() + _BESIDE_A_GPU_S
        self._write(
            {"made_for": made_for, "expires": expires, "family": choice.family, "reason": choice.reason}
        )
        return choice

    def forget(self) -> None:
        """The choice has failed: the next one is found by encoding again."""
        if self._storage is not None:
            self._storage.delete(FILE)

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
        return [self._preference, program, driver, self._device.exists()]

    def _read(self, made_for: list[object]) -> EncoderChoice | None:
        data = None if self._storage is None else self._storage.read(FILE)
        try:
            kept = json.loads(data or b"null")
        except ValueError:
            return None
        if not isinstance(kept, dict) or kept.get("made_for") != made_for:
            return None
        expires = kept.get("expires")
        family = next((each for each in FAMILIES if each == kept.get("family")), None)
        if family is None or (expires is not None and expires < time.time()):
            return None
        return EncoderChoice(family, str(kept.get("reason")))

    def _write(self, kept: dict[str, object]) -> None:
        if self._storage is None:
            return
        try:
            self._storage.write(FILE, json.dumps(kept).encode())
        except StorageError as error:
            log.warning("the choice of the encoder is not kept: %s", error)
