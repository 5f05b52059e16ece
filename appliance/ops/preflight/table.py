"""The checklist's questions to the inventory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from appliance.ops.preflight import exposure, secrets, site, upkeep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from appliance.health.finding import Finding
    from appliance.ops.preflight.planned import Planned


@dataclass(frozen=True, slots=True)
class Question:
    """One question, by the name that `preflight_accepted` takes."""

    name: str
    ask: Callable[[Planned], list[Finding]]


OF_HOSTS: Final[Sequence[Question]] = (
    # who gets in
    Question("stream-keys", exposure.stream_keys),
    Question("viewers", exposure.viewers),
    Question("encryption", exposure.encryption),
    Question("rtmp", exposure.rtmp),
    Question("tls", exposure.tls),
    Question("operators", exposure.operators),
    Question("backend-address", exposure.backend),
    Question("names", exposure.names),
    # what the inventory keeps
    Question("weak-secrets", secrets.weak_secrets),
    Question("plain-secrets", secrets.plain_secrets),
    # what goes on by itself
    Question("firewall-on", upkeep.firewall_on),
    Question("updates", upkeep.upgrades),
    Question("rotation", upkeep.rotation),
    Question("file-limits", upkeep.file_limits),
    Question("kernel", upkeep.kernel),
    Question("capacity", upkeep.media_size),
)

OF_SITE: Final[Sequence[Question]] = (
    Question("monitoring", site.monitoring),
    Question("backup", site.backup),
    Question("state", site.state),
)


def answers(questions: Iterable[Question], planned: Planned) -> list[Finding]:
    """What is wrong, the worst first."""
    found = [finding.of(question.name) for question in questions for finding in question.ask(planned)]
    return sorted(found, key=lambda finding: -finding.severity)
