"""What the audit log says, in words for the dashboard: what happened to streams, and what operators did.

It hears the log's lines as they are written, and keeps those that somebody on call would want to see until
the sampler takes them along. What strangers can cause as often as they like comes once a minute.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from appliance.control.first_seen import FirstSeen
from appliance.state.happenings import Happening

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Fields = Mapping[str, Any]

_KEPT: Final = 100
_LONGEST: Final = 300


class Recent(logging.Handler):
    """A handler for the logger `appliance`; `host` is this one's name."""

    def __init__(self, host: str) -> None:
        super().__init__()
        self._host = host
        self._kept: deque[Happening] = deque(maxlen=_KEPT)
        self._is_new = FirstSeen(seconds=60, capacity=1000)

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps what `record` tells, if it is something for the dashboard. It never raises."""
        fields, tell = getattr(record, "fields", None), _TOLD.get(record.getMessage())
        if tell is None or fields is None:
            return
        try:
            text = tell(fields)
        except (KeyError, TypeError):  # a line with other fields than most of its kind
            return
        if text is not None:
            warning = record.levelno >= logging.WARNING or fields.get("verdict") == "refused"
            self.tell(str(fields.get("stream", "")), text, warning=warning)

    def tell(self, stream: str, text: str, *, warning: bool = False) -> None:
        """Keeps a text, unless it was told a moment ago."""
        if self._is_new((stream, text)):
            level = "warning" if warning else "info"
            self._kept.append(Happening(host=self._host, stream=stream, level=level, text=text[:_LONGEST]))

    def take(self) -> list[Happening]:
        """What was kept since the last time."""
        kept = list(self._kept)
        self._kept.clear()
        return kept

    def put_back(self, happenings: list[Happening]) -> None:
        """They could not be told: the next time."""
        self._kept.extendleft(reversed(happenings))


def _publish(fields: Fields) -> str | None:
    match fields.get("verdict"):
        case "allowed":
            return f"A publisher at {fields['client_ip']} was let in"
        case "refused":
            return f"A publisher at {fields['client_ip']} was refused: {fields['reason']}"
        case _:
            return None


def _reconcile(fields: Fields) -> str | None:
    match fields.get("action"):
        case "release":
            return "The publisher is gone; nobody had said so"
        case "take":
            return "On air, and nobody knew of it any more: noted again"
        case "start":
            return "Its process had ended and was started again"
        case "waiting":
            return f"Trouble on this host: {fields['reason']}"
        case "recovered":
            return f"Well again on this host: {fields.get('part', 'all')}"
        case _:
            return None


def _api(fields: Fields) -> str | None:
    operation = str(fields["operation"])
    if operation.startswith(("list", "get")):
        return None
    how = "" if fields["verdict"] == "allowed" else f", refused: {fields['reason']}"
    return f"API: {operation} by {fields['asked_by']}{how}"


def _dashboard(fields: Fields) -> str:
    if fields["action"] == "sign in" and fields["verdict"] != "allowed":
        # Whoever was not let in may have given any name, another operator's or a password.
        return f"Somebody at {fields['client_ip']} was not let in to the dashboard"
    key = f" {fields['key']}" if "key" in fields else ""
    how = "" if fields["verdict"] == "allowed" else f", refused: {fields['reason']}"
    return f"Operator {fields['operator']}: {fields['action']}{key}{how}"


def _secrets(fields: Fields) -> str:
    if fields["action"] == "taken over":
        return f"A new secret is in use: {fields['secret']}"
    return f"The secret {fields['secret']} of another host was refused: {fields['reason']}"


_TOLD: Final[Mapping[str, Callable[[Fields], str | None]]] = {
    "publish": _publish,
    "publish_done": lambda fields: "The publisher left" if fields["released"] else None,
    "on_air": lambda _: "On air",
    "takeover": lambda fields: f"Another publisher took over from {fields['was']}",
    "drop": lambda fields: (
        f"Dropped: {fields['reason']}" if "connections" in fields else f"Not dropped: {fields['reason']}"
    ),
    "ban": lambda fields: f"{fields['client_ip']} may not publish for a while: it failed too often",
    "reconcile": _reconcile,
    "api": _api,
    "dashboard": _dashboard,
    "secrets": _secrets,
}
