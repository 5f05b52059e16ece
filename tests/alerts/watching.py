"""Prometheus of a host, asked on the host itself: it listens on loopback there."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from tests.support.site import Site

# The host has no curl, and a test installs nothing.
_GET = """
import sys, urllib.request
sys.stdout.write(urllib.request.urlopen(sys.argv[1], timeout=20).read().decode())
"""


def got(site: Site, url: str) -> str:
    """Return what the host is answered at `url`."""
    return site.run("python3", "-c", _GET, url).stdout


@dataclass(frozen=True)
class Prometheus:
    """Prometheus' API (https://prometheus.io/docs/prometheus/latest/querying/api/)."""

    site: Site

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the `data` of an answer."""
        url = f"http://127.0.0.1:9090/api/v1/{path}?{urlencode(parameters)}"
        return json.loads(got(self.site, url))["data"]

    def firing(self) -> set[tuple[str, str]]:
        """Return the alerts that fire: name, and stream where it is about one, else ""."""
        alerts = [alert["labels"] for alert in self.ask("alerts")["alerts"] if alert["state"] == "firing"]
        return {(labels["alertname"], labels.get("stream", "")) for labels in alerts}

    def names(self) -> set[str]:
        """Return the names of the series of the last minutes."""
        return set(self.ask("label/__name__/values", start=str(time.time() - 300)))

    def found(self, selector: str) -> bool:
        """Whether there is such a series now."""
        return bool(self.ask("query", query=f"count({selector})")["result"])
