"""How each stream may be watched: as it is registered, else as the settings say.

Viewers come by the thousand, so what a stream is registered with is remembered: `refresh` reads the streams
that are watched again, every second, in one question. While Valkey is silent what was known goes on to hold,
for an hour.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from appliance.control.single_flight import SingleFlight
from appliance.state.valkey import StateUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from appliance.names import StreamName
    from appliance.settings import Settings, ViewPolicyName
    from appliance.state.registry import RegisteredStream, Registry

TO_HAVE_IT_ASK: Final = (
    "To have it ask: set delivery_view_auth: true, then run ansible-playbook playbooks/site.yml"
)

FRESH_SECONDS: Final = 3.0
"""What was read within this time needs no reading: a few rounds of `refresh`."""

KEPT_SECONDS: Final = 3600.0
"""How long what is known holds while Valkey is silent."""

_WATCHED_SECONDS: Final = 15.0
"""A stream not asked about for so long is not read again; delivery remembers an answer for up to 10 s."""

_LEFT_ALONE_SECONDS: Final = 3.0
"""A Valkey that did not answer is asked for no viewer's sake for so long: `refresh` goes on to try."""

_MOST: Final = 2000
"""Streams that are remembered; beyond it the one not asked about for longest is forgotten."""


@dataclass(frozen=True, slots=True)
class ViewPolicy:
    """How one stream may be watched; `unknown` when nobody can say.

    `needs_entitlement`: a token has to name what was paid for; `entitlement`: namely this.
    """

    name: ViewPolicyName | Literal["unknown"]
    needs_entitlement: bool = False
    entitlement: str | None = None


@dataclass(slots=True)
class _Known:
    policy: ViewPolicy | str
    """A text: why it cannot be read."""

    read_at: float
    asked_at: float


def effective(
    view: ViewPolicyName | None, entitlement: str | None, default: ViewPolicyName
) -> ViewPolicyName:
    """The policy of a stream that is registered with `view` and `entitlement`.

    What has to be paid for is never open, not even where the settings say so of all other streams.
    """
    name = view or default
    return "token" if name == "open" and entitlement is not None else name


def policy_of(stream: RegisteredStream | None, settings: Settings) -> ViewPolicy:
    """How `stream` may be watched; None for one that is not registered."""
    default, needs = settings.view_policy, settings.view_needs_entitlement
    if stream is None:
        return ViewPolicy(default, needs)
    name = effective(stream.view, stream.entitlement, default)
    return ViewPolicy(name, needs, stream.entitlement)


def delivery_asks(settings: Settings) -> bool:
    """Whether delivery asks who may watch; with a policy for all streams it does in any case."""
    return settings.delivery_view_auth or settings.view_policy != "open"


def why_not_kept(view: ViewPolicyName | None, entitlement: str | None, settings: Settings) -> str | None:
    """Returns in words why this host cannot keep to that, and what mends it; None if it can."""
    if view == "open" and entitlement is not None:
        return (
            "view: open is refused beside an entitlement, as nobody would look at it; allowed: token, backend"
        )
    name = effective(view, entitlement, settings.view_policy)
    if name != "open" and not delivery_asks(settings):
        return (
            f"view: {name} is refused, as this host's delivery asks nobody who may watch; allowed: open. "
            f"{TO_HAVE_IT_ASK}"
        )
    if name == "backend" and not settings.http_callback_url:
        return (
            "view: backend is refused, as this host has no backend; allowed: open, token. To have one: set "
            "control_http_callback_url, then run ansible-playbook playbooks/site.yml"
        )
    return None


class RegistryPolicy:
    """The policies of all streams. Used from one event loop only.

    Parameters
    ----------
    registry, settings
        What the streams are registered with, and what holds for those that say nothing.
    clock
        Monotonic seconds.
    """

    def __init__(
        self, registry: Registry, settings: Settings, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._registry = registry
        self._settings = settings
        self._clock = clock
        self._known: dict[StreamName, _Known] = {}  # in the order in which they were asked about
        self._flights = SingleFlight[None]()
        self._silent_until = 0.0

    async def __call__(self, stream: StreamName, /) -> ViewPolicy:
        """The policy of `stream`, whether it is live or not.

        Raises StateUnavailableError when what stands for it in Valkey cannot be read: nobody may watch then.
        """
        now = self._clock()
        known = self._known.get(stream)
        if (known is None or now - known.read_at > FRESH_SECONDS) and now >= self._silent_until:
            try:
                await self._flights(stream, lambda: self._read([stream]))
            except StateUnavailableError:
                self._silent_until = self._clock() + _LEFT_ALONE_SECONDS
        known = self._known.pop(stream, None)
        if known is None or self._clock() - known.read_at > KEPT_SECONDS:
            return ViewPolicy("unknown", self._settings.view_needs_entitlement)
        known.asked_at = now
        self._known[stream] = known
        if isinstance(known.policy, str):
            raise StateUnavailableError(known.policy)
        return known.policy

    async def refresh(self) -> None:
        """Reads again what is asked about at the moment. Raises StateUnavailableError."""
        now = self._clock()
        watched = [name for name, known in self._known.items() if now - known.asked_at <= _WATCHED_SECONDS]
        try:
            await self._read(watched)
        except StateUnavailableError:
            self._silent_until = self._clock() + _LEFT_ALONE_SECONDS
            raise
        self._silent_until = 0.0

    async def _read(self, names: Sequence[StreamName]) -> None:
        found = await self._registry.many(names)
        now = self._clock()
        for name, stream in found.items():
            before = self._known.get(name)
            asked_at = now if before is None else before.asked_at
            self._known[name] = _Known(self._policy(stream), read_at=now, asked_at=asked_at)
        while len(self._known) > _MOST:
            del self._known[next(iter(self._known))]

    def _policy(self, stream: RegisteredStream | StateUnavailableError | None) -> ViewPolicy | str:
        return str(stream) if isinstance(stream, StateUnavailableError) else policy_of(stream, self._settings)
