"""How each stream may be watched. Today the settings say it, for all streams alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from appliance.names import StreamName
    from appliance.settings import Settings, ViewPolicyName


@dataclass(frozen=True, slots=True)
class ViewPolicy:
    """How one stream may be watched. `needs_entitlement`: its tokens have to name what was paid for."""

    name: ViewPolicyName
    needs_entitlement: bool = False


class PolicyOf(Protocol):
    """Knows the policy of every stream."""

    async def __call__(self, stream: StreamName, /) -> ViewPolicy:
        """The policy of `stream`, whether it is live or not."""


class SettingsPolicy:
    """The same policy for every stream, from the settings."""

    def __init__(self, settings: Settings) -> None:
        self._policy = ViewPolicy(settings.view_policy, settings.view_needs_entitlement)

    async def __call__(self, _: StreamName, /) -> ViewPolicy:
        """The settings' policy."""
        return self._policy
