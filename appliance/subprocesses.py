"""A program that is run to its end, and what it said.

A killed program is gone at once, unless a driver holds it (of a GPU that is lost): then nobody waits for it,
and the same command is not started once more while it hangs there, or each try would leave a process behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

NOT_THERE: Final = 127
TOO_LONG: Final = 124
TOO_MUCH: Final = 153
"""As a shell and timeout(1) have them; the last as a shell has what SIGXFSZ has ended."""

MOST_BYTES: Final = 1 << 20
_PIECE: Final = 1 << 16

_DIES_S: Final = 1.0
"""A killed process is gone by then, unless a driver holds it."""

_held: dict[object, tuple[asyncio.AbstractEventLoop, asyncio.subprocess.Process]] = {}
"""By command and environment: what was killed and did not go, and the loop that would see it go."""


@dataclass(frozen=True, slots=True)
class Output:
    """What a program printed; `status` NOT_THERE when it cannot be started.

    TOO_LONG or TOO_MUCH when it was killed: `errors` says so, and what it has printed is left out.
    """

    status: int
    text: str
    errors: str

    @property
    def said(self) -> str:
        """The last line that it printed, of its errors when there are any."""
        lines = (self.errors or self.text).strip().splitlines()
        return lines[-1].strip() if lines else f"nothing, exit status {self.status}"


class _TooMuchError(Exception):
    """A program prints more than is wanted of it."""


async def run_program(
    *command: str,
    seconds: float,
    given: bytes = b"",
    environment: Mapping[str, str] | None = None,
    most: int = MOST_BYTES,
) -> Output:
    """Runs a program with `given` on its standard input; it is killed when it takes too long.

    So it is when it prints more than `most` bytes, of its errors or otherwise: who watches for many programs
    would lose its memory to one of them. `environment` is put over this process's own. It takes a second
    longer than `seconds` at most.
    """
    known = (command, tuple(sorted((environment or {}).items())))
    if _is_held(known):
        return Output(TOO_LONG, "", f"{command[0]} was killed before and does not go")
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE if given else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=None if environment is None else {**os.environ, **environment},
        )
    except OSError as error:
        return Output(NOT_THERE, "", f"{command[0]}: {error.strerror}")
    try:
        async with asyncio.timeout(seconds):
            out, errors = await _communicate(process, given, most)
    except TimeoutError:
        return Output(TOO_LONG, "", f"{command[0]} took longer than {seconds:g} s")
    except _TooMuchError:
        return Output(TOO_MUCH, "", f"{command[0]} printed more than {most} bytes")
    finally:
        if process.returncode is None:
            await _kill(process, known)
    return Output(process.returncode or 0, out.decode(errors="replace"), errors.decode(errors="replace"))


async def _communicate(process: asyncio.subprocess.Process, given: bytes, most: int) -> tuple[bytes, bytes]:
    """As Process.communicate, which has no bound. Raises _TooMuchError."""
    tasks = [
        asyncio.create_task(_read(stream, most)) for stream in (process.stdout, process.stderr) if stream
    ]
    giving = asyncio.create_task(_give(process.stdin, given))
    try:
        out, errors = await asyncio.gather(*tasks)
        await giving
        await process.wait()
    finally:
        for task in (*tasks, giving):
            task.cancel()
        await asyncio.gather(*tasks, giving, return_exceptions=True)
    return out, errors


async def _read(stream: asyncio.StreamReader, most: int) -> bytes:
    data = bytearray()
    while piece := await stream.read(_PIECE):
        data += piece
        if len(data) > most:
            raise _TooMuchError
    return bytes(data)


async def _drop(stream: asyncio.StreamReader | None) -> None:
    while stream is not None and await stream.read(_PIECE):
        pass


async def _give(stream: asyncio.StreamWriter | None, given: bytes) -> None:
    if stream is not None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it wants no more
            stream.write(given)
            await stream.drain()
        stream.close()


async def _kill(process: asyncio.subprocess.Process, known: object) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    try:
        async with asyncio.timeout(_DIES_S):
            # asyncio sees it go when its output is read to the end, too.
            await asyncio.gather(_drop(process.stdout), _drop(process.stderr), process.wait())
    except TimeoutError:
        _held[known] = (asyncio.get_running_loop(), process)


def _is_held(known: object) -> bool:
    loop, process = _held.get(known, (None, None))
    held = process is not None and loop is asyncio.get_running_loop() and process.returncode is None
    if not held:
        _held.pop(known, None)
    return held
