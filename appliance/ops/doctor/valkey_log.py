"""Valkey's append-only file: whether a Valkey that does not run could load it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from appliance.errors import OperatorError
from appliance.health.finding import Finding, critical
from appliance.ops.doctor.valkey import asked
from appliance.state.valkey import State, StateUnavailableError

if TYPE_CHECKING:
    from appliance.ops.doctor.host import Host

LOG: Final = Path("/var/lib/valkey/appendonlydir/appendonly.aof.manifest")
"""The list of the files that make up the log (`dir` and `appenddirname` of Valkey's configuration)."""

_SECONDS: Final = 2.5
_TORN: Final = re.compile(r"format error\nAOF analyzed: .*?size=(\d+), ok_up_to=(\d+)")
"""What valkey-check-aof says of the file that it stops at; sizes are in bytes."""


async def valkey_log(host: Host) -> list[Finding]:
    """A Valkey that does not answer has a log with which it can be started."""
    try:
        await asked(host, State.ping)
    except OperatorError:
        return []  # the check `credentials` says it
    except StateUnavailableError:
        checked = await host.run("valkey-check-aof", str(LOG), seconds=_SECONDS)
        return judge_log(checked.text)
    return []


def judge_log(said: str) -> list[Finding]:
    """What follows from the words of valkey-check-aof."""
    # An end that was cut off is another error, and Valkey drops it by itself (aof-load-truncated).
    torn = _TORN.search(said)
    if torn is None:
        return []
    size, good = map(int, torn.groups())
    return [
        critical(
            "Valkey's log is torn, and Valkey does not start with it",
            f"{LOG.parent}: {good} of {size} bytes of its last file can be read",
            "no publisher is let in; registered streams, keys and events are in that file",
            "keep a copy, and cut it off there, which loses what follows: systemctl stop valkey-server; "
            "cd /var/lib/valkey/appendonlydir; cp -a . /root/valkey-log; "
            "yes | valkey-check-aof --fix appendonly.aof.manifest; systemctl start valkey-server",
        )
    ]
