"""The frame rates in use, and the one that a stated or measured rate stands for."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

_NOMINAL: Final = (24, 25, 30, 48, 50, 60, 100, 120)
_USUAL: Final = tuple(
    rate for nominal in _NOMINAL for rate in (Fraction(nominal * 1000, 1001), Fraction(nominal))
)

_ROUNDED: Final = 0.006
"""Frames a second by which a rate stated with two decimals, as 23.98, is off at most: half a hundredth and a
bit. Two usual rates are 0.024 apart at least."""

_MEASURED: Final = 0.01
"""The share by which a rate taken from few frames is off at most, as their times are whole milliseconds: 1 of
117 for eight frames at 60 a second. NTSC's rates, 0.1 % away, cannot be told from whole ones then."""

_SEGMENT: Final = 0.002
"""The same share over a segment: 1 of 1000 milliseconds where it lasts for a second, and as much again."""


def nearest_usual(fps: float) -> Fraction:
    """The frame rate in use that is nearest to `fps`, NTSC's fractions among them."""
    return min(_USUAL, key=lambda usual: abs(usual - fps))


def standard_rate(fps: float) -> Fraction:
    """Returns the rate in use that `fps`, stated or measured, stands for; else `fps` itself as a fraction."""
    nearest = nearest_usual(fps)
    if abs(fps - float(nearest)) < _ROUNDED:
        return nearest
    for nominal in (15, *_NOMINAL):
        if abs(fps / nominal - 1) < _MEASURED:
            return Fraction(nominal)
    return Fraction(fps).limit_denominator(1000)


def frame_rate(samples: int, seconds: float) -> float:
    """Frames a second of a segment, taken for the usual rate it comes near to."""
    rate = samples / seconds
    nearest = float(nearest_usual(rate))
    return nearest if abs(nearest - rate) <= _SEGMENT * nearest else rate
