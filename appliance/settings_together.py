"""What settings must not say together, though each of them may say it alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.settings import Settings

QUESTION_SECONDS: Final = 6.0
"""Longest time of all attempts at one question to the backend: nginx-rtmp waits ten seconds for a verdict,
and the stream's unit has to start in the rest (`appliance.control.lost`)."""


def contradiction(settings: Settings, *, given: Mapping[str, object]) -> str | None:
    """The refusal of two settings that do not go together; None when all do.

    `given` are those that the file has, as opposed to those that have their defaults.
    """
    if settings.container == "mpegts" and given.get("low_latency"):
        return (
            "low_latency: True is refused together with container: mpegts, which has no parts; "
            "allowed is false, or leaving it out"
        )
    if settings.part_seconds > settings.segment_seconds:
        return (
            f"part_seconds: {settings.part_seconds:g} is refused; allowed is at most "
            f"segment_seconds ({settings.segment_seconds:g})"
        )
    if settings.rotation_seconds < settings.segment_seconds:
        return (
            f"rotation_seconds: {settings.rotation_seconds:g} is refused; allowed is at least "
            f"segment_seconds ({settings.segment_seconds:g})"
        )
    if settings.callback_seconds * settings.callback_attempts > QUESTION_SECONDS:
        return (
            f"callback_seconds: {settings.callback_seconds:g} is refused; allowed is at most "
            f"{QUESTION_SECONDS:g} together for all callback_attempts ({settings.callback_attempts}), "
            "because nginx-rtmp waits ten seconds for a verdict"
        )
    if settings.lease_seconds < 3 * settings.reconcile_seconds:
        return (
            f"lease_seconds: {settings.lease_seconds:g} is refused; allowed is at least three times "
            f"reconcile_seconds ({settings.reconcile_seconds:g}), so that one lost renewal ends no stream"
        )
    return None
