"""Reading what a stream's process has written, as somebody else, who may be root."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

LARGEST: Final = 32 * 1024 * 1024
"""Bytes; more than any file of ours has."""


def read_plain(path: Path, *, largest: int = LARGEST) -> bytes | None:
    """What a plain file of at most `largest` bytes holds; None when there is none that can be read.

    The folder belongs to the stream's process: no link, no device and no directory is taken for a file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > largest:
            return None
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(largest)
    except OSError:
        return None
    finally:
        os.close(descriptor)
