"""What the units of a host said about one stream, in the order of time (journalctl(1))."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from appliance.errors import EX_UNAVAILABLE, OperatorError
from appliance.names import stream_unit
from appliance.ops.doctor.host import USER_AGENT
from appliance.plain_json import read_object
from appliance.printable import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.names import StreamName

UNITS: Final = ("appliance-ingest.service", "appliance-control.service", "appliance-delivery.service")
"""Those that speak of all streams; the stream's own speaks of nothing else."""

_NAMING: Final = ("stream", "streams", "stream_key")
_OMITTED: Final = frozenset(("event", "logger", "stream"))


@dataclass(frozen=True, slots=True)
class Line:
    """What a unit said: at which time (Unix seconds), as text, and its fields where it was JSON.

    `text` is fit for a terminal. `fields` are as they were: a viewer's player chooses some of them.
    """

    at: float
    unit: str
    text: str
    fields: dict[str, Any] | None

    @property
    def told(self) -> str:
        """The line as people read it."""
        if self.fields is None:
            return self.text
        what = str(self.fields.get("event") or self.fields.get("uri") or "")
        rest = (f"{name}={value}" for name, value in self.fields.items() if name not in _OMITTED)
        return visible(" ".join((what, *rest)).strip())

    def dumps(self) -> str:
        """The line as a program reads it."""
        time = datetime.fromtimestamp(self.at, UTC).isoformat(timespec="milliseconds")
        said = {"message": self.text} if self.fields is None else self.fields
        return json.dumps({"at": time, "unit": self.unit, **said})


def stream_log(stream: StreamName, *, since: str, follow: bool) -> Iterator[Line]:
    """The lines about `stream`, without those that the doctor makes when it watches it.

    Parameters
    ----------
    since
        As journalctl takes it: `-1h`, `today`, `2026-01-31 12:00`.
    follow
        Go on with those that come.

    Raises OperatorError when journalctl fails.
    """
    own = stream_unit(stream)
    # --all: without it a field of more than 4096 bytes, such as a long address, is null.
    command = ["journalctl", "--no-pager", "--quiet", "--all", "--output=json", f"--since={since}"]
    command += [f"--unit={unit}" for unit in (*UNITS, own)]
    command += ["--follow", "--lines=all"] if follow else []
    try:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace"
        )
    except OSError as error:
        raise OperatorError(f"the journal cannot be read: {error}", exit_code=EX_UNAVAILABLE) from error
    trouble = ""
    with process:
        try:
            for text in process.stdout or ():
                line = read_line(text)
                if line is None:
                    trouble = trouble if text.startswith("{") else text.strip()
                elif line.unit == own or (concerns(stream, line) and not by_doctor(line)):
                    yield line
        finally:
            process.terminate()  # one that follows would go on
    if process.returncode > 0:
        raise OperatorError(
            f"the journal cannot be read: {trouble or f'exit status {process.returncode}'}",
            exit_code=EX_UNAVAILABLE,
            hint="run it as root; --since takes what journalctl's does",
        )


def read_line(text: str) -> Line | None:
    """One line of journalctl's JSON; None for what has no message.

    A message that is no UTF-8 comes as a list of its bytes (systemd's Journal JSON Format): nginx writes what
    a player calls itself as it is.
    """
    try:
        entry = read_object(text)
        message, at = entry["MESSAGE"], int(entry["__REALTIME_TIMESTAMP"]) / 1e6
        if not isinstance(message, str):
            message = bytes(list(message)).decode("utf-8", "replace")
    except (ValueError, KeyError, TypeError, OverflowError):
        return None
    # systemd's own words about a unit come from process 1, and name it.
    unit = str(entry.get("UNIT") or entry.get("_SYSTEMD_UNIT") or "")
    fields = None
    if message.startswith("{"):
        with contextlib.suppress(ValueError):
            fields = read_object(message)
    return Line(at, unit, visible(message), fields)


def by_doctor(line: Line) -> bool:
    """Whether delivery tells of a request of this host's own doctor: who looks for a fault has made it."""
    said = line.fields or {}
    own = said.get("remote_addr") in {"127.0.0.1", "::1"}
    return own and said.get("user_agent") == USER_AGENT


def concerns(stream: StreamName, line: Line) -> bool:
    """Whether a line of a unit that speaks of all streams is about this one."""
    if line.fields is None:
        # nginx's own words: a name stands between quotes, blanks or slashes there
        return re.search(rf"(?<![\w.-]){re.escape(stream)}(?![\w-])", line.text) is not None
    for name in _NAMING:
        named = line.fields.get(name)
        if named == stream or (isinstance(named, list) and stream in named):
            return True
    return stream in str(line.fields.get("path", "")).split("/")
