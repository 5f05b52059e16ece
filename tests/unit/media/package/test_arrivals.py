"""How long publishing takes is counted from when the media was here, not from its date."""

from __future__ import annotations

from appliance.media.package.arrivals import Arrivals


def test_media_is_here_with_the_frame_behind_it() -> None:
    arrivals = Arrivals()
    assert arrivals.at(10.0) is None
    for number in range(4):
        arrivals.note(10 + number / 30, 100 + number / 30 + (0.06 if number == 0 else 0))
    assert arrivals.at(10 + 2 / 30) == 100 + 2 / 30
    assert arrivals.at(10.0666) == 100 + 2 / 30  # the same, in whole milliseconds
    assert arrivals.at(10 + 1.5 / 30) == 100 + 2 / 30
    assert arrivals.at(20.0) == 100 + 3 / 30, "sound that plays on was here with the newest picture"
    assert arrivals.at(0.0) == 100.06


def test_what_steps_back_and_what_is_old_is_left_out() -> None:
    arrivals = Arrivals()
    for number in range(5000):
        arrivals.note(number, number + 0.5)
        arrivals.note(number - 1, number + 0.7)
    assert arrivals.at(4999) == 4999.5
    assert arrivals.at(4000) == 4000.5
    assert arrivals.at(1) == 5000 - 2048 + 0.5
