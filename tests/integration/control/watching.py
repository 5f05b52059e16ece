"""Viewers as delivery asks about them."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from appliance.control.view.tokens import ViewToken, issue
from appliance.secrets.token_keys import TokenKeys

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.control.conftest import Site


@dataclass(frozen=True, kw_only=True)
class Watcher:
    """One player."""

    site: Site
    stream: str = "demo"
    token: str = ""
    address: str = "192.0.2.7"
    user_agent: str = "player"
    referrer: str = ""

    async def ask(self, **changes: str) -> int:
        """What delivery is answered."""
        asked = replace(self, **changes)  # type: ignore[arg-type]
        headers = {
            "X-Stream": asked.stream,
            "X-View-Token": asked.token,
            "X-Real-IP": asked.address,
            "X-View-User-Agent": asked.user_agent,
            "X-View-Referrer": asked.referrer,
        }
        return (await asked.site.http.get("/auth/view", headers=headers)).status_code


def token(folder: Path, stream: str = "demo", *, seconds: float = 60, **claims: Any) -> str:
    """A token signed by the service whose credentials lie in `folder`."""
    now = time.time()
    keys = TokenKeys.load(folder / "credentials" / "view-token-keys")
    return issue(keys, ViewToken(stream=stream, expires=now + seconds, **claims), now=now)
