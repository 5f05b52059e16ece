"""Reading what a stream's process has written, as somebody else, who may be root."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_LARGEST: Final = 32 * 1024 * 1024


def read_plain(path: Path) -> bytes | None:
    """What a plain file of at most 32 MiB holds; None when there is none that can be read.

    The folder belongs to the stream's process: no link and no device is followed.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        return file.read() if stat.S_ISREG(found.st_mode) and found.st_size <= _LARGEST else None
