"""When the secrets in use were made, and by when others have to be. Never a value, and no id of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.control.metric_families import gauge
from appliance.secrets.credentials import MASTER_KEY
from appliance.secrets.rotating import ROTATING
from appliance.secrets.schedule import WANTS, due

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from prometheus_client.metrics_core import Metric

    from appliance.control.secrets import Secrets


def rotations_due(secrets: Secrets, wants: Path = WANTS) -> dict[str, datetime]:
    """By when each secret must have been replaced; those that no timer replaces are left out. It blocks."""
    made = {name: secrets.held(name).created for name in ROTATING if not secrets.held(name).given}
    made[MASTER_KEY] = secrets.keyring.generations[secrets.keyring.current].created
    known = {name: due(name, created, wants) for name, created in made.items()}
    return {name: time for name, time in known.items() if time is not None}


def secret_metrics(secrets: Secrets, rotations: Mapping[str, datetime]) -> Iterator[Metric]:
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
    latest = gauge(
        "secret_rotation_due_timestamp_seconds",
        "By when the secret in use must have been replaced, as its timer's calendar has it.",
        "secret",
    )
    for name, time in rotations.items():
        latest.add_metric([name], time.timestamp())
    yield latest
    generation = gauge("master_key_generation", "Number of the master key in use.")
    generation.add_metric([], keyring.current)
    yield generation
