"""A small line chart as SVG, both axes logarithmic: growth is the slope."""

from __future__ import annotations

import math
from html import escape

from support.figures import Growth, number

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 320, 70, 20, 40, 45
COLOURS = ("#7c3aed", "#0891b2", "#d97706", "#16a34a", "#dc2626", "#475569")
STYLE = (
    "text{font:12px sans-serif;fill:#374151}.t{font-size:14px;font-weight:bold}"
    "line{stroke:#e5e7eb}polyline{fill:none;stroke-width:2}"
    "@media(prefers-color-scheme:dark){text{fill:#d1d5db}line{stroke:#374151}}"
)


def chart(title: str, lines: list[Growth]) -> str:
    """The lines (of one unit) over the number of tasks; floors are dashed."""
    series = [(line.name, line.points, False) for line in lines]
    series += [(f"{line.name}: floor", line.floor, True) for line in lines if line.floor]
    across = _Axis([at for _, points, _ in series for at, _ in points], LEFT, WIDTH - RIGHT)
    up = _Axis([value for _, points, _ in series for _, value in points], HEIGHT - BOTTOM, TOP)
    parts = [f'<text class="t" x="{LEFT}" y="18">{escape(title)} ({escape(lines[0].unit)})</text>']
    parts += [_rung(up, value) for value in up.decades] + [_post(across, value) for value in across.decades]
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" text-anchor="end">{escape(lines[0].over)}</text>')
    for place, (name, points, is_floor) in enumerate(series):
        parts += _line(name, points, is_floor, place, across, up)
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{STYLE}</style>{"".join(parts)}</svg>\n'


class _Axis:
    """A logarithmic axis between two pixels, over whole decades."""

    def __init__(self, values: list[float], begin: int, end: int) -> None:
        values = [value for value in values if value > 0] or [1.0]
        self._low, self._high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        self._high = max(self._high, self._low + 1)
        self._begin, self._end = begin, end

    @property
    def decades(self) -> list[float]:
        return [10.0**power for power in range(self._low, self._high + 1)]

    def at(self, value: float) -> float:
        share = (math.log10(max(value, 10.0**self._low)) - self._low) / (self._high - self._low)
        return round(self._begin + share * (self._end - self._begin), 1)


def _rung(axis: _Axis, value: float) -> str:
    y = axis.at(value)
    line = f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
    return f'{line}<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{number(value)}</text>'


def _post(axis: _Axis, value: float) -> str:
    return f'<text x="{axis.at(value)}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{number(value)}</text>'


def _line(
    name: str, points: tuple[tuple[float, float], ...], is_floor: bool, place: int, across: _Axis, up: _Axis
) -> list[str]:
    colour = COLOURS[place % len(COLOURS)]
    spots = [(across.at(at), up.at(value)) for at, value in points]
    dashes = ' stroke-dasharray="4 4"' if is_floor else ""
    path = " ".join(f"{x},{y}" for x, y in spots)
    dots = "".join(f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in spots)
    y = TOP + 16 * place
    key = f'<text x="{LEFT + 30}" y="{y + 4}">{escape(name)}</text>'
    sample = f'<polyline points="{LEFT + 8},{y} {LEFT + 24},{y}" stroke="{colour}"{dashes}/>'
    return [f'<polyline points="{path}" stroke="{colour}"{dashes}/>', dots, sample, key]
