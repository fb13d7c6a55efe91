"""Lines over time as SVG, by hand: enough for a page of documentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 900, 300, 50, 40, 40


@dataclass(frozen=True)
class Series:
    """A line: its name, its colour, and a value a second."""

    name: str
    colour: str
    values: Sequence[float]


def svg(title: str, unit: str, lines: Sequence[Series]) -> str:
    """The picture. All lines have the same scale."""
    most = max((max(line.values) for line in lines), default=1) or 1
    length = max(len(line.values) for line in lines)
    inner, tall = WIDTH - LEFT - 10, HEIGHT - TOP - BOTTOM

    def place(index: float, value: float) -> str:
        return f"{LEFT + inner * index / max(length - 1, 1):.1f},{TOP + tall * (1 - value / most):.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12"><rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="14">{escape(title)}</text>',
    ]
    for step in range(5):
        value = most * step / 4
        y = TOP + tall * (1 - step / 4)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - 10}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e4e7eb"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>')
        second = (length - 1) * step / 4
        x = LEFT + inner * step / 4
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{second:.0f} s</text>')
    parts.append(f'<text x="6" y="{TOP - 8}">{escape(unit)}</text>')
    for number, line in enumerate(lines):
        points = []
        for index, value in enumerate(line.values):
            if index and line.values[index - 1] != value:
                points.append(place(index, line.values[index - 1]))
            if index in (0, len(line.values) - 1) or line.values[index - 1] != value:
                points.append(place(index, value))
        parts.append(f'<polyline fill="none" stroke="{line.colour}" stroke-width="1.5" points="{" ".join(points)}"/>')
        x = LEFT + 10 + number * 160
        parts.append(f'<text x="{x}" y="{HEIGHT - 8}" fill="{line.colour}">{escape(line.name)}</text>')
    return "\n".join([*parts, "</svg>", ""])
