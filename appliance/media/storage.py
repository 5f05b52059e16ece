"""Files below one folder: whole or not there.

Every file is written under a temporary name, measured, and renamed: nobody ever reads half of it, and a write
that came out short (a full tmpfs can be silent about it) is found before anything lists the file. There is no
fsync: the media root is a tmpfs, which outlives our process but not the machine.

Paths are text in what is called fifty times a second for each stream: it costs a third of what Path does.
"""
# ruff: noqa: PTH103, PTH105, PTH108, PTH112, PTH116

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import time
from typing import TYPE_CHECKING, Final

from appliance.media.alerts import Alert, Alerts
from appliance.media.plain_file import read_plain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

log = logging.getLogger(__name__)

RESERVE_BYTES: Final = 1024 * 1024
"""Free space that media leaves to playlists and the state, so that a full disk can still be told of."""

SLOW_WRITE_S: Final = 0.1
"""A file takes a millisecond on a tmpfs. This is a good part of the 0.21 s that a part plays, and half of
what the kernel holds up who writes faster than the disk takes it (`MAX_PAUSE`, mm/page-writeback.c)."""

_TEMPORARY: Final = ".tmp-"
# Readable by the group: the delivery nginx is a member of the media root's group (the directories are
# setgid).
_FILE_MODE: Final = 0o640
_DIRECTORY_MODE: Final = 0o750


class StorageError(OSError):
    """A file could not be written whole; nothing is left of it. `full` when space was the reason."""

    def __init__(self, message: str, *, full: bool) -> None:
        super().__init__(message)
        self.full = full


class Storage:
    """Reads and writes below `directory`; all names are relative to it, with ``/`` between the parts.

    `alerts` hears of slow writes, and from those who write of what that meant for the stream.
    """

    def __init__(self, directory: Path, alerts: Alerts | None = None) -> None:
        self.directory = directory
        self.alerts = Alerts() if alerts is None else alerts

    def write(self, name: str, data: bytes, *, reserve: int = 0) -> None:
        """Puts `data` at `name`, atomically; `reserve` bytes have to stay free.

        Raises StorageError when it does not fit or does not come out whole, ValueError for empty data.
        """
        if not data:
            raise ValueError(f"{name}: an empty file is never published")
        path = f"{self.directory}/{name}"
        folder, _, file = path.rpartition("/")
        # A name of its own: in the streams' runtime directory several processes write the same file.
        temporary = f"{folder}/{_TEMPORARY}{os.getpid()}-{file}"
        begun = time.monotonic()
        try:
            self._require_space(name, len(data) + reserve)
            try:
                self._write_whole(temporary, data)
            except FileNotFoundError:
                os.makedirs(folder, mode=_DIRECTORY_MODE, exist_ok=True)
                self._write_whole(temporary, data)
            os.replace(temporary, path)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            if isinstance(error, StorageError):
                raise
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise StorageError(f"{name}: {error.strerror}", full=full) from error
        finally:
            took = time.monotonic() - begun
            if took >= SLOW_WRITE_S:
                self.alerts.note(Alert.SLOW_WRITES, f"{took:.2f} s for {len(data)} bytes ({name})")

    def read(self, name: str) -> bytes | None:
        """The content of `name`; None when it is no plain file of at most 32 MiB that can be read."""
        return read_plain(self.directory / name)

    def size(self, name: str) -> int:
        """Bytes of `name`; 0 when it is not there."""
        try:
            return os.stat(f"{self.directory}/{name}").st_size
        except OSError:
            return 0

    def delete(self, name: str) -> None:
        """Removes `name`, a file or a directory with all that is in it; nothing happens when it is gone."""
        path = f"{self.directory}/{name}"
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            # Of a directory unlink says EISDIR, and of the stream's own, below one that is read-only, EROFS.
            if os.path.isdir(path):
                shutil.rmtree(path, ignore_errors=True)
            else:
                log.warning("%s cannot be removed: %s", path, error.strerror)

    def rename(self, name: str, to: str) -> None:
        """Calls `name` `to` from now on, in place of what was called so; it is logged when that fails."""
        try:
            (self.directory / name).replace(self.directory / to)
        except OSError as error:
            log.warning("%s cannot be renamed: %s", self.directory / name, error.strerror)

    def files(self, name: str = "") -> Iterator[str]:
        """The names of all files below `name`, temporary ones included."""
        for path in sorted((self.directory / name).rglob("*")):
            if not path.is_dir():
                yield path.relative_to(self.directory).as_posix()

    def directories(self) -> list[str]:
        """The names of the directories on the first level."""
        if not self.directory.is_dir():
            return []
        return sorted(path.name for path in self.directory.iterdir() if path.is_dir())

    def free(self) -> int | None:
        """Bytes that can still be written; None where the file system has no limit to tell."""
        try:
            figures = os.statvfs(self.directory)
        except FileNotFoundError:
            figures = os.statvfs(self.directory.parent)
        # A tmpfs mounted without a size says 0 blocks in all.
        return figures.f_bavail * figures.f_frsize if figures.f_blocks else None

    def _require_space(self, name: str, needed: int) -> None:
        free = self.free()
        if free is not None and free < needed:
            raise StorageError(f"{name}: {needed} bytes are needed, {free} are free", full=True)

    @staticmethod
    def _write_whole(path: str, data: bytes) -> None:
        # Who else may write there must not hold us up by a FIFO of that name, nor lead us elsewhere.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(path, flags, _FILE_MODE)
        try:
            os.fchmod(descriptor, _FILE_MODE)  # whatever the process's umask is
            view = memoryview(data)
            while view and (count := os.write(descriptor, view)):
                view = view[count:]
            written = os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)
        if written != len(data):
            raise StorageError(f"{path}: {written} of {len(data)} bytes were written", full=True)


def is_temporary(name: str) -> bool:
    """Whether `name` is a write that never became whole."""
    return name.rpartition("/")[2].startswith(_TEMPORARY)
