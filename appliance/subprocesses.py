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
"""As a shell and timeout(1) have them."""

_DIES_S: Final = 1.0
"""A killed process is gone by then, unless a driver holds it."""

_held: dict[object, tuple[asyncio.AbstractEventLoop, asyncio.subprocess.Process]] = {}
"""By command and environment: what was killed and did not go, and the loop that would see it go."""


@dataclass(frozen=True, slots=True)
class Output:
    """What a program printed; `status` NOT_THERE when it cannot be started, TOO_LONG when it was killed."""

    status: int
    text: str
    errors: str

    @property
    def said(self) -> str:
        """The last line that it printed, of its errors when there are any."""
        lines = (self.errors or self.text).strip().splitlines()
        return lines[-1].strip() if lines else f"nothing, exit status {self.status}"


async def run_program(
    *command: str, seconds: float, given: bytes = b"", environment: Mapping[str, str] | None = None
) -> Output:
    """Runs a program with `given` on its standard input; it is killed when it takes too long.

    `environment` is put over this process's own. It takes a second longer than `seconds` at most.
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
            out, errors = await process.communicate(given or None)
    except TimeoutError:
        return Output(TOO_LONG, "", f"{command[0]} took longer than {seconds:g} s")
    finally:
        if process.returncode is None:
            await _kill(process, known)
    return Output(process.returncode or 0, out.decode(errors="replace"), errors.decode(errors="replace"))


async def _kill(process: asyncio.subprocess.Process, known: object) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    try:
        async with asyncio.timeout(_DIES_S):
            await process.wait()
    except TimeoutError:
        _held[known] = (asyncio.get_running_loop(), process)


def _is_held(known: object) -> bool:
    loop, process = _held.get(known, (None, None))
    held = process is not None and loop is asyncio.get_running_loop() and process.returncode is None
    if not held:
        _held.pop(known, None)
    return held
