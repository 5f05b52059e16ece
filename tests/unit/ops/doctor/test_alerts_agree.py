"""Where an alert and the doctor look at the same, they draw the line at the same place."""

from __future__ import annotations

import pytest

from appliance.ops.doctor.gpu import HOT_CELSIUS
from appliance.ops.doctor.kernel import OFFSET_WARNING_S
from tests.support.expressions import alerts


@pytest.mark.parametrize(
    ("alert", "line"),
    [
        ("GpuHot", f"> {HOT_CELSIUS}"),
        ("ClockWrong", f"> {OFFSET_WARNING_S:g} "),
        # as appliance.health.stream.oldest_newest
        ("StreamStalled", "3 * appliance_configured_segment_seconds + 4"),
    ],
)
def test_the_doctor_finds_what_an_alert_calls_for(alert: str, line: str) -> None:
    assert line in alerts()[alert]["expr"]
