"""Texts as one tar.gz: in a folder of the archive's own, whole or not at all, for its owner alone."""

from __future__ import annotations

import contextlib
import io
import os
import re
import socket
import tarfile
import tempfile
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from appliance.errors import EX_OSERR, OperatorError

if TYPE_CHECKING:
    from collections.abc import Mapping

_LARGEST: Final = 4 << 20
"""Bytes of one file in the archive: its end counts, the newest."""


def write_archive(file: Path, texts: Mapping[str, str], began: float) -> int:
    """Writes `texts`, by their paths in the archive, to `file` (mode 0600); returns its size in bytes.

    The folder that they lie in has the name of this host and of the time `began` (unix seconds). Raises
    OperatorError when the file is there already, or cannot be written; then there is none.
    """
    refuse_taken(file)
    top = _folder(socket.gethostname(), began)
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)  # mode 0600
        try:
            with os.fdopen(descriptor, "wb") as out, tarfile.open(fileobj=out, mode="w:gz") as archive:
                for path, text in texts.items():
                    data = text.encode(errors="backslashreplace")[-_LARGEST:]
                    entry = tarfile.TarInfo(str(top / _relative(path)))
                    entry.size, entry.mtime, entry.mode = len(data), int(began), 0o600
                    archive.addfile(entry, io.BytesIO(data))
            size = Path(name).stat().st_size
            refuse_taken(file)
            Path(name).rename(file)
        finally:
            with contextlib.suppress(FileNotFoundError):  # it has its own name by now
                Path(name).unlink()
    except OSError as error:
        raise OperatorError(
            f"{file}: {error.strerror}",
            exit_code=EX_OSERR,
            hint=f"see the room and the rights there: df -h {file.parent}; ls -ld {file.parent}",
        ) from None
    return size


def refuse_taken(file: Path) -> None:
    """Raises OperatorError when something has this name: nobody's link and nobody's file is written over."""
    if os.path.lexists(file):
        raise OperatorError(
            f"{file}: File exists",
            exit_code=EX_OSERR,
            hint="give the name of a file that is not there yet",
        )


def _folder(host: str, began: float) -> PurePosixPath:
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", host).strip(".-") or "host"
    return PurePosixPath(f"{name}-{datetime.fromtimestamp(began, UTC):%Y%m%dT%H%M%SZ}")


def _relative(path: str) -> PurePosixPath:
    """`path` without what would lead out of a folder."""
    return PurePosixPath(*(part for part in PurePosixPath(path).parts if part not in {"/", "//", ".."}))
