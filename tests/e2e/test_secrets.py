"""Secrets change by their timers' units, in their sandboxes, and nobody who publishes or watches notices."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.support import player
from tests.support.encoder import Publisher, Signal

if TYPE_CHECKING:
    from tests.support.site import Site

SMALL = Signal(width=320, height=180)
ROTATED = {
    "internal": ("rtmp-reader-secret", "admin-token", "valkey-password"),
    "view-token-keys": ("view-token-keys",),
    "webhook-secret": ("webhook-secret",),
}
SERVICES = ("appliance-control.service", "appliance-ingest.service", "valkey-server.service")


def _created(site: Site) -> dict[str, str]:
    """When each secret was made, by its name."""
    shown: list[dict[str, Any]] = json.loads(site.run("appliance", "secrets", "status", "--json").stdout)
    return {row["name"]: row["created"] for row in shown}


def test_secrets_change_while_a_stream_is_live(site: Site, stream: str) -> None:
    with Publisher(site.rtmp(stream), SMALL) as publisher:
        listed = player.wait_for(site.hls(stream), segments=2)
        processes = {unit: site.property(unit, "MainPID") for unit in SERVICES}
        for group, names in ROTATED.items():
            before = _created(site)
            site.run("systemctl", "start", f"appliance-rotate@{group}.service")
            after = _created(site)
            assert [name for name in names if after[name] == before[name]] == []
        # who had the old ones goes on, and who comes now is let in by the new ones
        assert {unit: site.property(unit, "MainPID") for unit in SERVICES} == processes
        assert publisher.connected
        assert stream in site.active()
        assert player.decodes(listed.url, 3) == ""
        assert not any(segment.discontinuity for segment in player.media(listed.variants[0].url).segments)
    with Publisher(site.rtmp(stream), SMALL):
        player.wait_for_number(listed.variants[0].url, player.media(listed.variants[0].url).last + 2)
