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


async def message(request: Request) -> tuple[str, dict[str, Any]]:
    """The id and the content of a request that is really from the streaming host; 401 to all others."""
    body = await request.body()
    try:
        identity = verify(request.headers, body, SECRETS)
    except NotFromTheStreamingHostError as error:
        raise HTTPException(401, "Not signed by the streaming host") from error
    if request.headers.get("content-type", "").startswith("application/json"):
        return identity, json.loads(body)
    return identity, dict(parse_qsl(body.decode()))


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
    if not {"type", "data"} <= told.keys():  # somebody sends a question here that was signed for another path
        raise HTTPException(400, "No event")
    if identity not in SEEN:  # it may come twice
        SEEN.add(identity)
        remember(told["type"], told["data"])
    return {"status": "recorded"}


@app.get("/on-air")
async def on_air() -> dict[str, dict[str, Any]]:
    """What is live, as far as it was told."""
    return ON_AIR


def remember(kind: str, data: dict[str, Any]) -> None:
    """Store what happened."""
    log.info("%s %s", kind, data)
    if kind == "publish.started":
        ON_AIR[data["stream"]] = data
    # The end of a connection that another has replaced ends nothing.
    elif kind == "publish.ended" and ON_AIR.get(data["stream"], {}).get("session") == data["session"]:
        del ON_AIR[data["stream"]]
