"""A backend of a streaming host: it decides who may publish, play and watch, and hears what happened.

    WEBHOOK_SECRET=… uvicorn app:app --port 9000

Replace MAY_PUBLISH, MAY_PLAY and `remember` by your database.
"""

from __future__ import annotations

import json
import logging
import os
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Depends, FastAPI, HTTPException, Request
from verify import NotFromTheStreamingHostError, verify

log = logging.getLogger("uvicorn.error")
app = FastAPI(title="A streaming host's backend")

SECRETS = os.environ["WEBHOOK_SECRET"].split()
"""One, or the new and the old one separated by a space while you change it."""

MAY_PUBLISH = set(os.environ.get("MAY_PUBLISH", "demo").split())
MAY_PLAY = set(os.environ.get("MAY_PLAY", "demo").split())
ON_AIR: dict[str, dict[str, Any]] = {}
SEEN: set[str] = set()
BEGAN: dict[str, str] = {}
"""When the newest publisher of each stream came, also of those that have left."""
ENDED: set[str] = set()
"""The sessions that are over."""


async def message(request: Request) -> tuple[str, dict[str, Any]]:
    """The id and the content of a request that is really from the streaming host; 401 to all others.

    A question says in `call` what it asks; 400 when it was signed for another path than it comes to.
    """
    body = await request.body()
    try:
        identity = verify(request.headers, body, SECRETS)
    except NotFromTheStreamingHostError as error:
        raise HTTPException(401, "Not signed by the streaming host") from error
    try:
        if request.headers.get("content-type", "").startswith("application/json"):
            fields = json.loads(body)
        else:
            fields = dict(parse_qsl(body.decode()))
    except ValueError as error:
        raise HTTPException(400, "Neither JSON nor a form") from error
    if not isinstance(fields, dict):
        raise HTTPException(400, "No object")
    asked = request.url.path.removeprefix("/auth/")
    if asked != request.url.path and fields.get("call") != asked:
        raise HTTPException(400, "Signed for another path")
    return identity, fields


@app.post("/auth/publish")
async def may_publish(given: tuple[str, dict[str, Any]] = Depends(message)) -> dict[str, str]:
    """2xx lets the encoder in; 403 and 409 do not. `addr` is its address, `name` the stream."""
    _, fields = given
    if fields.get("name") not in MAY_PUBLISH:
        raise HTTPException(403, "Unknown stream")
    return {"status": "allowed"}


@app.post("/auth/play")
async def may_play(given: tuple[str, dict[str, Any]] = Depends(message)) -> dict[str, Any]:
    """2xx lets the player in, 402 tells it to pay.

    With `protocol` "hls" it is a viewer: look at `token`, `addr`, `referrer`. The answer may say for how many
    seconds it was paid, who it is (`sub`) and how often that one may watch at once (`max_sessions`).
    """
    _, fields = given
    if fields.get("name") not in MAY_PLAY:
        raise HTTPException(402, "Payment required")
    if fields.get("protocol") == "hls":
        return {"status": "allowed", "expires_in": 3600}
    return {"status": "allowed"}


@app.post("/auth/publish_done")
async def publish_done(given: tuple[str, dict[str, Any]] = Depends(message)) -> dict[str, str]:
    """For a platform of yours that says so itself; the streaming host tells it as the event publish.ended."""
    _, fields = given
    ON_AIR.pop(fields.get("name", ""), None)
    return {"status": "recorded"}


@app.post("/events")
async def event(given: tuple[str, dict[str, Any]] = Depends(message)) -> dict[str, str]:
    """Answer 2xx once the event is stored: until then it comes again, and the stream's next one waits."""
    identity, told = given
    data = told.get("data")
    if not isinstance(data, dict) or "type" not in told:  # a question that was signed for another path
        raise HTTPException(400, "No event")
    if identity not in SEEN:  # it may come twice
        SEEN.add(identity)
        remember(str(told["type"]), str(told.get("timestamp")), data)
    return {"status": "recorded"}


@app.get("/on-air")
async def on_air() -> dict[str, dict[str, Any]]:
    """What is live, as far as it was told."""
    return ON_AIR


def remember(kind: str, when: str, data: dict[str, Any]) -> None:
    """Store what happened at `when` (ISO 8601, UTC).

    Events of a stream come in order, but for those that were given up and are told again later
    (`appliance events replay`): a beginning may follow its own end, or the next publisher's beginning.
    """
    log.info("%s %s", kind, data)
    stream, session = data.get("stream"), data.get("session")
    # Anything else is told for its own sake; taken all the same, or it would come again and again.
    if not isinstance(stream, str) or not isinstance(session, str):
        return
    if kind == "publish.started":
        if session in ENDED or when < BEGAN.get(stream, ""):
            return
        BEGAN[stream] = when
        ON_AIR[stream] = data
    elif kind == "publish.ended":
        ENDED.add(session)
        # The end of a connection that another has replaced ends nothing.
        if ON_AIR.get(stream, {}).get("session") == session:
            del ON_AIR[stream]
