"""Operations on the keys of a registered stream."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from appliance.control.api.models import Key, KeyList, KeySpec, NewKey
from appliance.control.api.operations import Created, Operation, Parameter, whole_number
from appliance.control.api.problem import ProblemError
from appliance.control.api.streams import registered
from appliance.control.gate import why_over
from appliance.secrets.stream_keys import derive_key, digest, draw_key, matches
from appliance.state.registry import KeyRecord

if TYPE_CHECKING:
    from starlette.requests import Request

    from appliance.control.context import Control
    from appliance.names import StreamName

_MOST_KEYS: Final = 50
_REMEMBERED: Final = timedelta(days=30)
_MOST_GRACE: Final = 30 * 86_400
_MOST_LETTERS: Final = 200


class KeyOperations:
    """The operations, and what they do."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def operations(self) -> list[Operation]:
        """All of them, as the API lists them."""
        missing = {404: "The stream is not registered."}
        return [
            Operation(
                id="listStreamKeys", method="GET", path="/streams/{stream}/keys", scope="streams:read",
                summary="The keys of a stream, without their secrets", handler=self.all, answer=KeyList,
                problems=missing,
            ),
            Operation(
                id="createStreamKey", method="POST", path="/streams/{stream}/keys", scope="streams:write",
                summary="Make a stream key; it is shown in this answer only", handler=self.create,
                body=KeySpec, answer=NewKey, status=201,
                problems={
                    **missing,
                    409: "Too many keys, or the key of a repeated request is over.",
                    422: "The body is not what this operation takes, or is not that of the request repeated.",
                },
                parameters=[
                    Parameter(
                        name="Idempotency-Key", where="header", schema={"type": "string", "maxLength": 200},
                        text="A request that is repeated with the same, and the same body, gets the same key"
                        " again (draft-ietf-httpapi-idempotency-key-header).",
                    )
                ],
            ),
            Operation(
                id="revokeStreamKey", method="DELETE", path="/streams/{stream}/keys/{key}",
                scope="streams:write", summary="Revoke a stream key, and drop who publishes with it",
                handler=self.revoke, status=204,
                problems={404: "The stream is not registered, or there is no such key."},
                parameters=[
                    Parameter(
                        name="grace_seconds", text="For so long it goes on to let publishers in.",
                        schema={"type": "integer", "minimum": 0, "maximum": _MOST_GRACE, "default": 0},
                    )
                ],
            ),
        ]  # fmt: skip

    async def all(self, request: Request, _: Any) -> KeyList:
        """All keys, also those that are over."""
        stream = await registered(self._control, request)
        return KeyList(items=[_shown(key) for key in await self._control.registry.keys(stream.name)])

    async def create(self, request: Request, body: KeySpec) -> Created:
        """Draws a key; the same again for a repeated request."""
        stream = await registered(self._control, request)
        pepper, repeated = self._control.stream_key_pepper, request.headers.get("idempotency-key", "")
        if len(repeated) > _MOST_LETTERS:
            raise ProblemError(400, f"Idempotency-Key is longer than {_MOST_LETTERS} characters")
        now = datetime.now(UTC)
        key = derive_key(pepper, stream.name, repeated, _iso(now)) if repeated else draw_key()
        kept = {each.id: each for each in await self._keys(stream.name)}
        if repeated and (before := kept.get(key.id)) is not None:
            if _asked_for(before) != body:
                raise ProblemError(
                    422,
                    f"this Idempotency-Key made the key {before.id} with another body; use another one, or "
                    "repeat the body as it was",
                )
            key = derive_key(pepper, stream.name, repeated, before.created_at)
            if not matches(pepper, stream.name, key, before.digest):  # an earlier version made it
                raise ProblemError(409, f"the key {key.id} can be shown no more; use another Idempotency-Key")
            return Created(new=False, content=_repeated(before, str(key)))
        if len(kept) >= _MOST_KEYS:
            raise ProblemError(
                409,
                f"the stream {stream.name} has {len(kept)} keys, of {_MOST_KEYS}; revoke those not in use",
            )
        ends = None if body.expires_in_seconds is None else now + timedelta(seconds=body.expires_in_seconds)
        record = KeyRecord(
            id=key.id,
            digest=digest(pepper, stream.name, key),
            created_at=_iso(now),
            expires_at=None if ends is None else _iso(ends),
            note=body.note,
        )
        if not await self._control.registry.add_key(stream.name, record):
            raise ProblemError(409, f"the key {key.id} was made at the same moment; repeat the request")
        return Created(new=True, content=NewKey(**_shown(record).model_dump(), key=str(key)))

    async def _keys(self, stream: StreamName) -> list[KeyRecord]:
        """The keys of `stream`; those that have been over for a month are forgotten first."""
        keys = await self._control.registry.keys(stream)
        past = datetime.now(UTC) - _REMEMBERED
        if old := [key.id for key in keys if why_over(key, past)]:
            await self._control.registry.forget_keys(stream, old)
        return [key for key in keys if key.id not in old]

    async def revoke(self, request: Request, _: Any) -> None:
        """Ends a key, now or after its grace."""
        stream = await registered(self._control, request)
        grace = whole_number(request, "grace_seconds", default=0, low=0, high=_MOST_GRACE)
        key_id = request.path_params["key"]
        key = (await self._control.registry.look(stream.name, key_id)).key
        if key is None:
            raise ProblemError(404, f"the stream {stream.name} has no key {key_id}")
        ends = datetime.now(UTC) + timedelta(seconds=grace)
        if key.revoked_at is None or datetime.fromisoformat(key.revoked_at) > ends:
            await self._control.registry.replace_key(stream.name, replace(key, revoked_at=_iso(ends)))
        lease = await self._control.leases.get(stream.name)
        if lease is not None and lease.key_id == key_id and grace == 0:
            await self._control.dropper.ask(lease, f"its key {key_id} was revoked", ending="revoked")


def _repeated(record: KeyRecord, key: str) -> NewKey:
    if (over := why_over(record, datetime.now(UTC))) is not None:
        raise ProblemError(409, f"this request made the key {record.id}, which {over}")
    return NewKey(**_shown(record).model_dump(), key=key)


def _asked_for(key: KeyRecord) -> KeySpec:
    """The body of the request that made `key`: nothing else changes when a key expires, or its note."""
    seconds = None
    if key.expires_at is not None:
        lasts = datetime.fromisoformat(key.expires_at) - datetime.fromisoformat(key.created_at)
        seconds = round(lasts.total_seconds())
    return KeySpec(expires_in_seconds=seconds, note=key.note)


def _shown(key: KeyRecord) -> Key:
    return Key(
        id=key.id,
        created_at=key.created_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        note=key.note,
        over=why_over(key, datetime.now(UTC)),
    )


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
