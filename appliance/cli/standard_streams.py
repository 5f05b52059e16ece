"""Standard output and error: who reads them may leave, and may know fewer characters than we print."""

from __future__ import annotations

import io
import os
import signal
import stat
import sys
from typing import TYPE_CHECKING, Final, NoReturn, cast

if TYPE_CHECKING:
    from typing_extensions import Buffer

LEFT: Final = 128 + signal.SIGPIPE
"""Exit status when nobody reads on: what a shell says of a program that SIGPIPE ended."""

_NEVER_RAISE: Final = frozenset({"backslashreplace", "ignore", "namereplace", "replace", "xmlcharrefreplace"})


class _Pipe(io.FileIO):
    """The end of a pipe; when its reader has gone, so do we.

    SystemExit and no OSError: that one is taken for a host's, a file's or a socket's where it passes.
    """

    def write(self, data: Buffer, /) -> int:
        """As FileIO's. Raises SystemExit when nobody reads."""
        try:
            return super().write(data)
        except BrokenPipeError:
            _leave(self.fileno())


def _leave(descriptor: int) -> NoReturn:
    # What is still in buffers goes nowhere, and the interpreter's last flush complains of nothing.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
    raise SystemExit(LEFT)


def prepare() -> None:
    """Makes both streams of this process such that printing raises nothing but SystemExit.

    What the reader's encoding has no character for is printed as its number (`\\xe9`). A program whose
    pipe (`| head`) has been closed ends with LEFT, from whatever thread of it printed: see `on_all`.
    """
    sys.stdout = _prepared(sys.stdout)
    sys.stderr = _prepared(sys.stderr)


def _prepared(stream: object) -> io.TextIOWrapper:
    if not isinstance(stream, io.TextIOWrapper):
        return stream  # type: ignore[return-value] # a test's, or none at all
    errors = stream.errors if stream.errors in _NEVER_RAISE else "backslashreplace"
    # With PYTHONUNBUFFERED there is nothing between.
    raw = getattr(stream.buffer, "raw", stream.buffer)
    # Of a service it is the journal's socket, whose end is not the service's.
    if type(raw) is not io.FileIO or not stat.S_ISFIFO(os.fstat(raw.fileno()).st_mode):
        stream.reconfigure(errors=errors)
        return stream
    stream.flush()
    pipe = _Pipe(raw.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        cast("io.BufferedWriter", pipe) if raw is stream.buffer else io.BufferedWriter(pipe),
        encoding=stream.encoding,
        errors=errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def finish() -> None:
    """Prints what is still in buffers. Raises SystemExit as printing does."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
