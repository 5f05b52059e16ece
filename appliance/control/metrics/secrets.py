"""When the secrets in use were made: what a rotation changes. Never a value, and no id of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.control.metric_families import gauge
from appliance.secrets.credentials import MASTER_KEY
from appliance.secrets.rotating import ROTATING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from appliance.control.secrets import Secrets


def secret_metrics(secrets: Secrets) -> Iterator[Metric]:
    """Those that the service has now; one whose time nobody noted is left out."""
    created = gauge(
        "secret_created_timestamp_seconds",
        "When the secret in use was made; a rotation makes a new one.",
        "secret",
    )
    for name in ROTATING:
        if (made := secrets.held(name).created) is not None:
            created.add_metric([name], made.timestamp())
    keyring = secrets.keyring
    created.add_metric([MASTER_KEY], keyring.generations[keyring.current].created.timestamp())
    yield created
    generation = gauge("master_key_generation", "Number of the master key in use.")
    generation.add_metric([], keyring.current)
    yield generation
