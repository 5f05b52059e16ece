"""What every host does at the moment, in its own figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.media.status_reading import Reading
from appliance.ops.fleet.examine import NoStreamingHost, has_no_appliance
from appliance.ops.fleet.session import as_root
from appliance.plain_json import read_object
from appliance.printable import printable

if TYPE_CHECKING:
    from appliance.ops.fleet.session import Done, Session


@dataclass(frozen=True, slots=True)
class Summary:
    """`said`: the host's state in a word; its figures, None where there are none; the units that are down.

    `good`: whether the command ended well.
    """

    said: str
    figures: Reading | None = None
    down: tuple[str, ...] = ()
    good: bool = False


def summarise(session: Session, *, seconds: float) -> Summary | NoStreamingHost:
    """Has the host say its figures. Raises UnreachableError."""
    command = ["appliance", "doctor", "--summary", "--json"]
    done = session.run(as_root(session.target, command), seconds=seconds)
    if not session.target.streaming and has_no_appliance(done):
        return NoStreamingHost()
    return read_summary(done)


def read_summary(done: Done) -> Summary:
    """What `appliance doctor --summary` printed; whatever a host prints, it breaks no other's row."""
    try:
        found = read_object(done.text)
        down = tuple(printable(str(unit)) for unit in found["units_down"])
    except (ValueError, KeyError, TypeError):
        said = (done.errors or done.text).strip()[-200:]
        return Summary(f"no summary (exit status {done.status}): {printable(said)}")
    return Summary(f"DOWN: {', '.join(down)}" if down else "runs", Reading(found), down, done.status == 0)
