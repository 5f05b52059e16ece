"""What `appliance keys list` shows: generations of master keys, content keys, who uses and needs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table

from appliance.media.stream_client import NoStreamError, StreamSilentError
from appliance.output import console, short_time
from appliance.secrets.content_keys import KeyId, UnknownKeyError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from appliance.media.stream_client import KeyInUse, StreamClient
    from appliance.secrets.keyring import Keyring


@dataclass(frozen=True)
class LiveKeys:
    """What each running stream says, or why it says nothing."""

    keys: dict[str, KeyInUse]
    silent: dict[str, str]

    @classmethod
    def ask(cls, client: StreamClient) -> LiveKeys:
        """Asks every running stream. Raises PermissionError."""
        live = cls({}, {})
        for stream in client.running():
            try:
                live.keys[stream] = client.key(stream)
            except NoStreamError:
                continue
            except StreamSilentError as error:
                live.silent[stream] = str(error)
        return live


def describe(keyring: Keyring, live: LiveKeys, named: Mapping[str, Collection[str]]) -> dict[str, Any]:
    """`keys list --json`: `named` are the key ids that the media on disk names, by stream."""
    generations = []
    for number, item in sorted(keyring.generations.items()):
        generations.append(
            {
                "number": number,
                "created": item.created.isoformat(timespec="seconds"),
                "state": _state(keyring, number),
                "in_use_by": sorted(
                    name for name, key in live.keys.items() if _generation(key.kid) == number
                ),
                "needed_by": sorted(
                    name for name, kids in named.items() if number in {_generation(kid) for kid in kids}
                ),
            }
        )
    content_keys = [
        {
            "stream": name,
            "kid": key.kid,
            "generation": _generation(key.kid),
            "since": _when(key.since),
            "encrypted": key.generation is not None,
        }
        for name, key in sorted(live.keys.items())
    ]
    return {"generations": generations, "content_keys": content_keys}


def _state(keyring: Keyring, number: int) -> str:
    return {keyring.current: "current", keyring.next: "next"}.get(number, "retired")


def _generation(kid: str | None) -> int | None:
    try:
        return None if kid is None else KeyId.parse(kid).generation
    except UnknownKeyError:
        return None


def _when(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")


def print_tables(found: dict[str, Any]) -> None:
    """Prints what `describe` returned."""
    out = console()
    when = short_time if out.is_terminal else str
    table = Table("generation", "created", "state", title="master keys", title_justify="left")
    for heading in ("in use by", "needed by"):
        table.add_column(heading, overflow="fold")
    for row in found["generations"]:
        users, needing = ", ".join(row["in_use_by"]) or "-", ", ".join(row["needed_by"]) or "-"
        table.add_row(str(row["number"]), when(row["created"]), row["state"], users, needing)
    out.print(table)
    table = Table(title="content keys", title_justify="left")
    for heading in ("stream", "key id", "since"):
        table.add_column(heading, overflow="fold")
    for row in found["content_keys"]:
        kid = row["kid"] or ("no segment yet" if row["encrypted"] else "not encrypted")
        table.add_row(row["stream"], kid, when(row["since"] or "-"))
    out.print(table)
