"""What the hosts have together: who looks after them, and what is left when one is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.health.finding import Finding, warning

if TYPE_CHECKING:
    from appliance.ops.preflight.planned import Planned


def monitoring(planned: Planned) -> list[Finding]:
    """Somebody is woken when the site fails."""
    monitors = planned.group("monitors")
    if not monitors or not planned.on("monitoring_enabled"):
        seen = "monitoring_enabled is false" if monitors else "no host in the group monitors"
        why = "viewers tell of a failure before any alert does"
        mend = "name a host in the group monitors, which may be the origin"
        return [warning("nothing is monitored", seen, why, mend)]
    if planned.text("monitoring_alert_webhook_url") or planned.text("monitoring_alert_mail_to"):
        return []
    seen = "monitoring_alert_webhook_url and monitoring_alert_mail_to are empty"
    why = "alerts are seen by whoever happens to look at Prometheus"
    return [warning("alerts go to nobody", seen, why, "set one of the two, and try it: amtool alert add")]


def backup(planned: Planned) -> list[Finding]:
    """What cannot be made again is kept elsewhere too."""
    del planned  # no variable says so yet
    return [
        warning(
            "no backup is made",
            "no role of these playbooks makes one; one of your own cannot be seen from here",
            "with the disk go registered streams and their keys (/var/lib/valkey), and the master keys and "
            "secrets (/etc/appliance)",
            "copy /etc/appliance and /var/lib/valkey elsewhere, encrypted, every day, and try to bring them "
            "back; then: preflight_accepted: [backup]",
        )
    ]


def state(planned: Planned) -> list[Finding]:
    """A fleet's state outlives one host."""
    hosts, origins = planned.group("state") or planned.group("origins"), planned.group("origins")
    if len(origins) < 2 or len(hosts) > 1:
        return []
    seen = f"{len(origins)} origins, and Valkey on {', '.join(hosts)} alone"
    why = "when that host is lost no origin lets a publisher in"
    return [warning("Valkey has no replica", seen, why, "name three hosts in the group state")]
