"""Trouble is told when it begins and when it ends."""

from __future__ import annotations

import logging
from typing import Any, cast

import pytest

from appliance.control.troubles import Troubles


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str, dict[str, Any]]]:
    found = [(line.levelno, line.getMessage(), cast("Any", line).fields) for line in caplog.records]
    caplog.clear()
    return found


def test_it_is_told_when_it_begins_and_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    troubles = Troubles("look")
    with caplog.at_level(logging.INFO, logger="appliance"):
        troubles(None)
        assert logged(caplog) == []
        for reason in ("away", "away", "still away"):
            troubles(reason)
        assert logged(caplog) == [(logging.WARNING, "look", {"action": "waiting", "reason": "away"})]
        for _ in range(2):
            troubles(None)
        assert logged(caplog) == [(logging.INFO, "look", {"action": "recovered"})]
        troubles("away")
        assert len(logged(caplog)) == 1


def test_each_part_has_its_own(caplog: pytest.LogCaptureFixture) -> None:
    troubles = Troubles("look")
    with caplog.at_level(logging.INFO, logger="appliance"):
        troubles("away", part="state")
        troubles("down", part="units")
        troubles(None, part="state")
        troubles("down", part="units")
    said = [(fields["part"], fields["action"]) for _, _, fields in logged(caplog)]
    assert said == [("state", "waiting"), ("units", "waiting"), ("state", "recovered")]
