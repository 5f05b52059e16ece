"""The journals of all hosts as one: what has each host print its own, and the order of time among them."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from appliance.names import StreamName
    from appliance.ops.fleet.everywhere import Result
    from appliance.ops.fleet.session import Done

_UNITS: Final = ("appliance-*", "stream@*", "valkey-server")


def journal_command(
    units: Sequence[str], *, since: str, lines: int, grep: str | None, follow: bool
) -> list[str]:
    """What prints a host's journal (journalctl(1)): each line begins with its time, in UTC.

    `units` are patterns, none for all of ours; of the lines that match `grep` (all when None), the newest
    `lines`.
    """
    command = ["journalctl", "--no-pager", "--quiet", "--utc", "--output=short-iso-precise"]
    command += [f"--since={since}", f"--lines={lines}", *(f"--unit={name}" for name in units or _UNITS)]
    return [*command, *([] if grep is None else [f"--grep={grep}"]), *(["--follow"] if follow else [])]


def stream_command(stream: StreamName, *, since: str, lines: int, follow: bool) -> list[str]:
    """What prints the newest `lines` that a host's units said of one stream.

    Each begins with its time, in UTC. With `follow` all of them, and those that come.
    """
    command = ["appliance", "logs", f"--stream={stream}", f"--since={since}"]
    return [*command, "--follow" if follow else f"--lines={lines}"]


def by_time(results: Iterable[Result[Done]], lines: int) -> Iterator[tuple[str, str]]:
    """Host and line of all that the commands above printed, by time; of each host the newest `lines`.

    The further lines of a message, which begin with a blank, stay behind its first. Lines of one time stay in
    the order in which their host said them.
    """
    found = []
    for result in results:
        time = ""
        for line in (result.value.text.splitlines() if result.value else [])[-lines:]:
            time = time if line.startswith(" ") else line.partition(" ")[0]
            found.append((time, result.target.name, line))
    for _, host, line in sorted(found, key=itemgetter(0)):
        yield host, line
