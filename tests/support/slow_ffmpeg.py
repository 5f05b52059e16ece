#!/usr/bin/python3
"""An FFmpeg that is slower than its source while a file says so, whatever the host's speed.

Stands alone, so that a test can put it before the real one on a host. What comes in at `pipe:0` is FLV; while
the file beside this one, named `slow`, is there, it goes on to FFmpeg at half of real time.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

FFMPEG = "/usr/bin/ffmpeg"
SPEED = 0.5
SLOW = Path(__file__).with_name("slow")
_HEADER_BYTES = 13  # with the size of the tag before the first (Adobe FLV 10.1, annex E.2 and E.3)
_TAG_BYTES = 11  # annex E.4.1
_SIZE_BYTES = 4


def pump() -> None:
    """Hand on FLV from standard input to standard output, tag by tag."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    sink.write(source.read(_HEADER_BYTES))
    since: tuple[float, int] | None = None
    while len(head := source.read(_TAG_BYTES)) == _TAG_BYTES:
        tag = head + source.read(int.from_bytes(head[1:4], "big") + _SIZE_BYTES)
        milliseconds = int.from_bytes(head[7:8] + head[4:7], "big")
        if not SLOW.exists():
            since = None
        elif since is None:
            since = time.monotonic(), milliseconds
        else:
            began, first = since
            due = began + (milliseconds - first) / 1000 / SPEED
            time.sleep(max(0.0, due - time.monotonic()))
        sink.write(tag)
        sink.flush()


def main() -> None:
    """Become FFmpeg, behind a child that pumps."""
    if "pipe:0" in sys.argv:
        read, write = os.pipe()
        if os.fork() == 0:
            os.dup2(write, 1)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            os.closerange(3, 256)  # the outputs are FFmpeg's alone
            try:
                pump()
            except BrokenPipeError:
                os._exit(0)  # FFmpeg has ended
            os._exit(0)
        os.dup2(read, 0)
        os.close(read)
        os.close(write)
    os.execv(FFMPEG, [FFMPEG, *sys.argv[1:]])  # noqa: S606 - the arguments are FFmpeg's


if __name__ == "__main__":
    main()
