"""The frame rates in use, and the one that a stated or measured rate stands for."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

_NOMINAL: Final = (24, 25, 30, 48, 50, 60, 100, 120)
_USUAL: Final = tuple(
    rate for nominal in _NOMINAL for rate in (Fraction(nominal * 1000, 1001), Fraction(nominal))
)


def nearest_usual(fps: float) -> Fraction:
    """The frame rate in use that is nearest to `fps`, NTSC's fractions among them."""
    return min(_USUAL, key=lambda usual: abs(usual - fps))


def standard_rate(fps: float) -> Fraction:
    """Returns the rate in use that is nearest to `fps` within 1 %, else `fps` to a thousandth."""
    nearest = nearest_usual(fps)
    if abs(fps - float(nearest)) < 0.006:
        return nearest
    for nominal in (15, *_NOMINAL):
        if abs(fps / nominal - 1) < 0.01:
            return Fraction(nominal)
    return Fraction(fps).limit_denominator(1000)


def frame_rate(samples: int, seconds: float) -> float:
    """Frames a second of a segment, taken for the usual rate it comes near to.

    RTMP's times are whole milliseconds: over a segment of a second that is 0.1 % of uncertainty.
    """
    rate = samples / seconds
    nearest = float(nearest_usual(rate))
    return nearest if abs(nearest - rate) <= 0.002 * nearest else rate
