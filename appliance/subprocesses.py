"""A program that is run to its end, and what it said."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Final

NOT_THERE: Final = 127
TOO_LONG: Final = 124
"""As a shell and timeout(1) have them."""


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


async def run_program(*command: str, seconds: float, given: bytes = b"") -> Output:
    """Runs a program with `given` on its standard input; it is killed when it takes too long."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE if given else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
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
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return Output(process.returncode or 0, out.decode(errors="replace"), errors.decode(errors="replace"))
