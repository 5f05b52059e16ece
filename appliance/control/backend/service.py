"""Everything that concerns the backend, in one place: there is one, or there is none and nothing of this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from appliance.control.backend.decisions import Decisions
from appliance.control.backend.deliver import Deliverer
from appliance.control.backend.live_watch import LiveWatch
from appliance.control.backend.timed import TimedClient
from appliance.control.backend.view_judge import ViewJudge
from appliance.state.events import Events
from appliance.state.plays import Plays
from appliance.state.verdicts import Verdicts

if TYPE_CHECKING:
    from appliance.control.secrets import Secrets
    from appliance.settings import Settings
    from appliance.state.valkey import State


@dataclass(frozen=True, slots=True)
class Backend:
    """The backend that `http_callback_url` names."""

    client: TimedClient
    decisions: Decisions
    events: Events
    plays: Plays
    deliverer: Deliverer
    live_watch: LiveWatch
    view_judge: ViewJudge

    @classmethod
    def build(cls, settings: Settings, secrets: Secrets, state: State, host: str) -> Self | None:
        """Puts the parts together, None when no backend is set; nothing connects yet."""
        if not settings.http_callback_url:
            return None
        client = TimedClient(settings.http_callback_url, secrets.webhook_secrets)
        events = Events(state)
        decisions = Decisions(client, Verdicts(state, settings.callback_last_known_seconds), settings)
        return cls(
            client=client,
            decisions=decisions,
            events=events,
            plays=Plays(state, host),
            deliverer=Deliverer(events, client, settings, host),
            live_watch=LiveWatch(events, settings, host),
            view_judge=ViewJudge(decisions, settings.callback_view_seconds),
        )
