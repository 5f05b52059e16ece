"""One command on all hosts: what it prints, kept, or line by line as it comes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from appliance.errors import EX_UNAVAILABLE, OperatorError
from appliance.ops.fleet.everywhere import Result, on_all
from appliance.ops.fleet.progress import progress
from appliance.ops.fleet.session import Done, as_root

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from appliance.ops.fleet.session import Session
    from appliance.ops.fleet.targets import Target


_LAST_WORDS_S: Final = 1.0


def ended(done: Done) -> str:
    said = "done" if done.status == 0 else f"exit status {done.status}"
    return f"{said}, and printed more than is kept" if done.cut else said


def ask(
    targets: Sequence[Target],
    command: Sequence[str],
    seconds: float,
    at_once: int,
    told: Callable[[Done], str],
    *,
    root: bool = True,
) -> list[Result[Done]]:
    """What `command` prints on every host."""

    def work(session: Session) -> Done:
        words = as_root(session.target, command) if root else list(command)
        return session.run(words, seconds=max(1.0, seconds - 2))

    with progress() as shown:
        return on_all(
            targets,
            work,
            shown,
            lambda done: (told(done), done.well),
            seconds=seconds,
            at_once=at_once,
        )


def on_lines(
    targets: Sequence[Target], command: Sequence[str], seconds: float | None, at_once: int, *, root: bool
) -> list[Result[Done]]:
    """Runs `command` everywhere, and prints each line as it comes, behind its host's name."""
    width = max(len(target.name) for target in targets)
    printing = threading.Lock()

    def work(session: Session) -> Done:
        def show(line: str) -> None:
            with printing:
                print(f"{session.target.name:<{width}}  {line}", flush=True)

        words = as_root(session.target, command) if root else list(command)
        limit = None if seconds is None else max(1.0, seconds - 2)
        return session.run(words, seconds=limit, line=show)

    try:
        with progress(quiet=True) as shown:
            return on_all(
                targets,
                work,
                shown,
                lambda done: (ended(done), done.well),
                seconds=seconds,
                at_once=at_once,
            )
    finally:
        # For good: a host that was given up prints no more. A thread that prints while the interpreter ends
        # would have it abort. (Who reads may have stopped reading, and then it is never our turn.)
        printing.acquire(timeout=_LAST_WORDS_S)


def leave(failed: Sequence[Result[Any]]) -> None:
    """Raises OperatorError when a host gave no answer."""
    if failed:
        said = "; ".join(
            f"{one.target.name}: {one.failure or 'no answer that can be read'}" for one in failed
        )
        mend = next((one.mend for one in failed if one.mend), None)
        raise OperatorError(said, exit_code=EX_UNAVAILABLE, hint=mend)
