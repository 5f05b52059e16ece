"""The error an operator reads: what is wrong, what was seen, what is allowed, what mends it."""

from __future__ import annotations

# sysexits.h: the exit statuses a script can tell apart.
EX_USAGE = 64
EX_DATAERR = 65
EX_UNAVAILABLE = 69
EX_SOFTWARE = 70
EX_OSERR = 71
EX_NOPERM = 77
EX_CONFIG = 78


class OperatorError(Exception):
    """Something the operator can mend; the command line prints it without a traceback.

    Parameters
    ----------
    message
        Names the thing, the value seen and what is allowed. Never a secret.
    exit_code
        The process's exit status, 1–125; the ``EX_*`` constants above follow ``sysexits.h``.
    hint
        The command or the change that mends it, printed on a line of its own.
    """

    def __init__(self, message: str, *, exit_code: int = 1, hint: str | None = None) -> None:
        if not 1 <= exit_code <= 125:
            raise ValueError(f"exit_code {exit_code}: 1..125 are allowed, the rest belongs to the shell")
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n  {self.hint}"
