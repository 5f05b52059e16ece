"""What each host tells of itself every few seconds, and one sample a minute of the last hours.

A host writes under its own name and reads those of all. How old a report is, Valkey's clock says, as hosts
need not agree on the time. A host that was silent for a day is forgotten.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from appliance.state.valkey import PREFIX, translated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from appliance.state.valkey import State

SAMPLE_SECONDS: Final = 60
SAMPLES: Final = 360
"""Six hours of them: some 200 kB of a host with ten streams."""

_HOSTS: Final = f"{PREFIX}hosts"
_REPORT: Final = f"{PREFIX}host:"
_HISTORY: Final = f"{PREFIX}history:"
_LIFE_MS: Final = 86_400 * 1000


@dataclass(frozen=True, slots=True)
class Report:
    """What `host` told last, `age` seconds ago."""

    host: str
    age: float
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sample:
    """What a host told of one minute; at: Unix seconds by Valkey's clock."""

    at: float
    content: dict[str, Any]


class HostReports:
    """The reports of all hosts. Every method raises StateUnavailableError."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def put(self, host: str, content: Mapping[str, Any]) -> None:
        """`content` holds of `host` now."""
        text = json.dumps(content, separators=(",", ":"))
        await self._state.ask_apart(
            ("SADD", _HOSTS, host), ("SET", _REPORT + host, text, "PX", str(_LIFE_MS))
        )

    async def all(self) -> list[Report]:
        """Every host's, by name; what is no report is left out."""
        hosts = await self._hosts()
        if not hosts:
            return []
        texts, *ages = await self._state.ask_apart(
            ("MGET", *(_REPORT + host for host in hosts)), *(("PTTL", _REPORT + host) for host in hosts)
        )
        reports = []
        for host, text, left in zip(hosts, texts, ages, strict=True):
            if text is None:
                await self._state.ask_apart(("SREM", _HOSTS, host))
            elif (content := _read(text)) is not None:
                reports.append(Report(host, max(0.0, (_LIFE_MS - left) / 1000), content))
        return reports

    async def add_sample(self, host: str, content: Mapping[str, Any]) -> None:
        """Adds a sample of `host`, now; the one of six hours ago goes."""
        key, text = _HISTORY + host, json.dumps(content, separators=(",", ":"))
        await self._state.ask_apart(
            ("XADD", key, "MAXLEN", str(SAMPLES), "*", "sample", text),
            ("PEXPIRE", key, str(SAMPLES * SAMPLE_SECONDS * 1000)),
        )

    async def samples(self) -> Mapping[str, Sequence[Sample]]:
        """The samples of each host, the oldest first."""
        hosts = await self._hosts()
        with translated():
            async with self._state.client.pipeline(transaction=False) as pipe:
                for host in hosts:
                    pipe.xrange(_HISTORY + host)
                rows = await pipe.execute()
        # In a thread: no decision about a publisher or viewer waits for some hundred documents to be read.
        return await asyncio.to_thread(lambda: dict(zip(hosts, map(_samples, rows), strict=True)))

    async def _hosts(self) -> list[str]:
        [hosts] = await self._state.ask_apart(("SMEMBERS", _HOSTS))
        return sorted(hosts)


def _samples(entries: Sequence[tuple[str, Mapping[str, str]]]) -> list[Sample]:
    found = []
    for position, fields in entries:
        content = _read(fields.get("sample", ""))
        if content is not None:
            found.append(Sample(int(position.partition("-")[0]) / 1000, content))
    return found


def _read(text: str) -> dict[str, Any] | None:
    try:
        content = json.loads(text)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None
