"""Registered streams: who may publish each of them, from where, within which limits, and who may watch.

A stream is one JSON document under a key of its own, its keys are another; an index keeps the names in order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from appliance.names import StreamName
from appliance.settings import ViewPolicyName
from appliance.state.valkey import PREFIX, Script, State, StateUnavailableError, translated

if TYPE_CHECKING:
    from collections.abc import Sequence

_STREAM: Final = f"{PREFIX}stream:"
_KEYS: Final = f"{PREFIX}stream_keys:"
_KEPT_OUT: Final = f"{PREFIX}kept_out:"
_INDEX: Final = f"{PREFIX}streams"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a publisher must keep to; None sets no limit. kbps: pictures and sound together, 1000 bits/s."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    kbps: Annotated[int, Field(gt=0)] | None = None
    width: Annotated[int, Field(gt=0)] | None = None
    height: Annotated[int, Field(gt=0)] | None = None
    fps: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    seconds: Annotated[int, Field(gt=0)] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredStream:
    """A stream that needs a key to be published.

    created_at: ISO 8601, UTC; allow, deny: networks (CIDR) that a publisher must, and must not, come from, an
    empty `allow` being everywhere; view: who may watch, None for what the setting `view_policy` says;
    entitlement: what a viewer must have paid for.
    """

    name: StreamName
    created_at: str
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    view: ViewPolicyName | None = None
    entitlement: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """What is kept of a stream key. Times are ISO 8601, UTC; nobody is shown `digest`."""

    id: str
    digest: str = field(repr=False)
    created_at: str
    expires_at: str | None = None
    revoked_at: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A stream, one key of it, and why nobody may publish it for a while; None for what there is not."""

    stream: RegisteredStream | None
    key: KeyRecord | None
    kept_out: str | None


_STREAM_DOCUMENT: Final = TypeAdapter(RegisteredStream)
_KEY_DOCUMENT: Final = TypeAdapter(KeyRecord)


class Registry:
    """The registered streams and their keys.

    Every method raises StateUnavailableError, also when what stands in Valkey is no record of ours: then
    nobody can say who may publish.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._put = Script(state, "register")
        self._remove = Script(state, "unregister")

    async def get(self, name: StreamName) -> RegisteredStream | None:
        """The stream, None when it is not registered."""
        [text] = await self._state.ask(("GET", _STREAM + name))
        return _stream(name, text)

    async def many(
        self, names: Sequence[StreamName]
    ) -> dict[StreamName, RegisteredStream | StateUnavailableError | None]:
        """Each of the streams: None if it is not registered, the error if it cannot be read."""
        with translated():
            texts = await self._state.client.mget([_STREAM + name for name in names]) if names else []
        found: dict[StreamName, RegisteredStream | StateUnavailableError | None] = {}
        for name, text in zip(names, texts, strict=True):
            try:
                found[name] = _stream(name, text)
            except StateUnavailableError as error:  # one that is broken does not hide the others
                found[name] = error
        return found

    async def look(self, name: StreamName, key_id: str) -> Entry:
        """The stream, one key of it and whether it is kept out, in one question."""
        stream, key, kept_out = await self._state.ask(
            ("GET", _STREAM + name), ("HGET", _KEYS + name, key_id), ("GET", _KEPT_OUT + name)
        )
        return Entry(_stream(name, stream), _key(name, key_id, key), kept_out)

    async def keep_out(self, name: StreamName, reason: str, seconds: int) -> None:
        """Lets nobody publish the stream for a while."""
        with translated():
            await self._state.client.set(_KEPT_OUT + name, reason, ex=seconds)

    async def put(self, stream: RegisteredStream) -> bool:
        """Registers `stream`, or replaces what stands for it; whether it was new."""
        text = _STREAM_DOCUMENT.dump_json(stream).decode()
        return bool(await self._put([_STREAM + stream.name, _INDEX], [text, stream.name]))

    async def remove(self, name: StreamName) -> bool:
        """Forgets the stream and all of its keys; False when it was not registered."""
        return bool(await self._remove([_STREAM + name, _KEYS + name, _INDEX], [name]))

    async def page(self, *, after: str, limit: int) -> list[RegisteredStream]:
        """At most `limit` streams whose names follow `after`, in the order of their names."""
        with translated():
            low = f"({after}" if after else "-"
            names = await self._state.client.zrangebylex(_INDEX, low, "+", start=0, num=limit)
            documents = await self._state.client.mget([_STREAM + name for name in names]) if names else []
        streams = [_stream(name, text) for name, text in zip(names, documents, strict=True)]
        return [stream for stream in streams if stream is not None]

    async def add_key(self, name: StreamName, key: KeyRecord) -> bool:
        """Keeps a key; False when its id is taken, also by one that is over."""
        with translated():
            async with self._state.client.pipeline(transaction=False) as pipe:
                pipe.hsetnx(_KEYS + name, key.id, _KEY_DOCUMENT.dump_json(key).decode())
                [new] = await pipe.execute()
        return bool(new)

    async def replace_key(self, name: StreamName, key: KeyRecord) -> None:
        """Writes a key that is there already anew."""
        with translated():
            async with self._state.client.pipeline(transaction=False) as pipe:
                pipe.hset(_KEYS + name, key.id, _KEY_DOCUMENT.dump_json(key).decode())
                await pipe.execute()

    async def forget_keys(self, name: StreamName, key_ids: Sequence[str]) -> None:
        """Forgets keys; who shows one is refused as if there never had been one."""
        with translated():
            async with self._state.client.pipeline(transaction=False) as pipe:
                pipe.hdel(_KEYS + name, *key_ids)
                await pipe.execute()

    async def keys(self, name: StreamName) -> list[KeyRecord]:
        """All keys of a stream, the oldest first; also those that are over."""
        with translated():
            async with self._state.client.pipeline(transaction=False) as pipe:
                pipe.hgetall(_KEYS + name)
                [rows] = await pipe.execute()
        keys = [_key(name, key_id, text) for key_id, text in rows.items()]
        return sorted((key for key in keys if key is not None), key=lambda key: (key.created_at, key.id))


def _stream(name: str, text: str | None) -> RegisteredStream | None:
    if text is None:
        return None
    try:
        return _STREAM_DOCUMENT.validate_json(text)
    except ValidationError:
        raise _malformed(f"{_STREAM}{name}", f"DEL {_STREAM}{name}") from None


def _key(name: str, key_id: str, text: str | None) -> KeyRecord | None:
    if text is None:
        return None
    try:
        return _KEY_DOCUMENT.validate_json(text)
    except ValidationError:
        raise _malformed(f"{key_id} in {_KEYS}{name}", f"HDEL {_KEYS}{name} {key_id}") from None


def _malformed(where: str, mend: str) -> StateUnavailableError:
    return StateUnavailableError(f"Valkey: {where} is no record of this program; {mend} removes it")
