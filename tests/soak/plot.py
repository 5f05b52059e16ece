"""Series over time as a picture: one panel below the other, each with its own scale (SVG 1.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape

WIDTH, PANEL, LEFT, GAP = 900, 120, 70, 34


@dataclass
class Panel:
    """Lines that are compared: points of (minutes, value) by name."""

    title: str
    lines: dict[str, list[tuple[float, float]]] = field(default_factory=dict)


COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf")


def svg(panels: list[Panel]) -> str:
    """Return the panels as a document, all over the same time."""
    points = [point for panel in panels for line in panel.lines.values() for point in line]
    longest = max((minutes for minutes, _ in points), default=1.0) or 1.0
    height = len(panels) * (PANEL + GAP) + GAP
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/><g font-family="sans-serif">',
    ]
    for number, panel in enumerate(panels):
        out += _panel(panel, GAP + number * (PANEL + GAP), longest)
    return "\n".join([*out, "</g></svg>\n"])


def _panel(panel: Panel, top: int, longest: float) -> list[str]:
    highest = max((value for line in panel.lines.values() for _, value in line), default=1.0) or 1.0
    right, bottom = WIDTH - 10, top + PANEL
    out = [
        f'<text x="{LEFT}" y="{top - 8}" font-weight="bold">{escape(panel.title)}</text>',
        f'<path d="M{LEFT} {top}V{bottom}H{right}" stroke="black" fill="none"/>',
        f'<text x="{LEFT - 6}" y="{top + 8}" text-anchor="end">{highest:.4g}</text>',
        f'<text x="{LEFT - 6}" y="{bottom}" text-anchor="end">0</text>',
        f'<text x="{right}" y="{bottom + 13}" text-anchor="end">{longest:.0f} min</text>',
    ]
    for place, (name, line) in enumerate(panel.lines.items()):
        colour = COLOURS[place % len(COLOURS)]
        at = [
            f"{LEFT + minutes / longest * (right - LEFT):.1f},{bottom - value / highest * PANEL:.1f}"
            for minutes, value in line
        ]
        out.append(f'<polyline points="{" ".join(at)}" stroke="{colour}" fill="none"/>')
        out.append(f'<text x="{right - 130 * place}" y="{top - 8}" text-anchor="end" fill="{colour}">'
                   f"{escape(name)}</text>")  # fmt: skip
    return out
