"""The same work on many hosts at once; each has its own time, and no host keeps the others."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from appliance.ops.fleet.connection import Connection, UnreachableError
from appliance.ops.fleet.session import LocalSession, RemoteSession, Session
from appliance.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from appliance.ops.fleet.targets import Target

T = TypeVar("T")

_CONNECT_SECONDS: Final = 10.0
_TICK_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Result(Generic[T]):
    """What came of one host: `value`, or why there is none (`failure`, and what to do: `mend`).

    `failure` is fit for a terminal: whoever answers at a host's address may have chosen some of it.
    """

    target: Target
    value: T | None
    seconds: float
    failure: str | None = None
    mend: str = ""


class Progress(Protocol):
    """Who is told how far the hosts are."""

    def state(self, host: str, text: str) -> None:
        """What a host is at."""

    def done(self, host: str, text: str, *, good: bool) -> None:
        """A host is done with."""

    def tick(self) -> None:
        """Time goes by."""


@dataclass(frozen=True, slots=True)
class _State:
    host: str
    text: str


def on_all(
    targets: Sequence[Target],
    work: Callable[[Session], T],
    progress: Progress,
    told: Callable[[T], tuple[str, bool]],
    *,
    seconds: float | None,
    at_once: int,
    what: str = "at work",
) -> list[Result[T]]:
    """Does `work` on every host, `at_once` of them at a time; the results are in the order of `targets`.

    A host that has not ended `seconds` after its turn came (None: however long it takes) is given up, and has
    failed. `told` says of a value what progress shows, and whether that is good. What ends the program where
    one host is at work (SystemExit: nobody reads what it prints) is raised here. With Ctrl-C progress is told
    which hosts had not answered (with None: had not been reached), and it goes on.
    """
    events: queue.SimpleQueue[_State | Result[T] | BaseException] = queue.SimpleQueue()
    waiting = deque(targets)
    began: dict[str, float] = {}

    def one(target: Target) -> None:
        events.put(_State(target.name, "connecting"))
        try:
            events.put(_worked(target, work, lambda text: events.put(_State(target.name, text)), what))
        except BaseException as error:  # noqa: BLE001 - of a thread it would end nothing but the thread
            events.put(error)

    for target in targets:
        progress.state(target.name, "waiting")
    results: dict[str, Result[T]] = {}
    reached: set[str] = set()
    try:
        while len(results) < len(targets):
            # One that was given up takes nobody's turn, though its thread may never end.
            while waiting and len(began) - len(results) < at_once:
                target = waiting.popleft()
                began[target.name] = time.monotonic()
                # A daemon: one that hangs in a system call keeps nobody from leaving.
                threading.Thread(target=one, args=(target,), name=target.name, daemon=True).start()
            try:
                event = events.get(timeout=_TICK_S)
            except queue.Empty:
                event = None
            progress.tick()
            if isinstance(event, BaseException):
                raise event
            if isinstance(event, _State) and event.host not in results:
                progress.state(event.host, event.text)
                reached |= {event.host} if event.text == what else set()
            elif isinstance(event, Result) and event.target.name not in results:
                _note(event, results, progress, told)
            now = time.monotonic()
            for target in targets:
                late = seconds is not None and now - began.get(target.name, now) > seconds
                if late and target.name not in results:
                    failure = f"it was not done within {seconds:g} s"
                    result: Result[T] = Result(target, None, seconds or 0, failure, "give it more: --seconds")
                    _note(result, results, progress, told)
    except KeyboardInterrupt:
        # Of what has no limit no end is waited for.
        for name in [target.name for target in targets if target.name not in results]:
            if seconds is not None or name not in reached:
                when = "it had answered" if name in began else "its turn"
                progress.done(name, f"interrupted before {when}", good=False)
        raise
    return [results[target.name] for target in targets]


def _note(
    result: Result[T],
    results: dict[str, Result[T]],
    progress: Progress,
    told: Callable[[T], tuple[str, bool]],
) -> None:
    results[result.target.name] = result
    if result.value is None:
        progress.done(result.target.name, f"FAILED: {result.failure}", good=False)
    else:
        text, good = told(result.value)
        progress.done(result.target.name, f"{text}, {result.seconds:.1f} s", good=good)


def _worked(target: Target, work: Callable[[Session], T], say: Callable[[str], None], what: str) -> Result[T]:
    began = time.monotonic()

    def took() -> float:
        return time.monotonic() - began

    try:
        if target.way is None:
            say(what)
            return Result(target, work(LocalSession(target)), took())
        with Connection(target.way, target.options, seconds=_CONNECT_SECONDS) as connection:
            say(what)
            return Result(target, work(RemoteSession(target, connection)), took())
    except UnreachableError as error:
        return Result(target, None, took(), printable(str(error)), error.mend)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this host's, and the others go on
        failure = printable(f"{type(error).__name__}: {error}")
        return Result(target, None, took(), failure, "try again; then report it")
