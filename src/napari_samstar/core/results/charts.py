"""Small charts as inline SVG. Colours come from the page's CSS, so they follow light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

WIDTH, HEIGHT = 640, 380
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 14, 48

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Marks:
    """One series of a chart.

    Attributes
    ----------
    points : sequence of (x, y)
    style : str
        CSS class: "tried", "front", "defaults", "picked", "searched" or "drawn".
    label : str
        In the legend; none if empty.
    shape : {"dot", "line", "steps", "diamond", "star"}
    titles : sequence of str
        Shown when the mouse rests on a point.
    """

    points: Points
    style: str
    label: str = ""
    shape: str = "dot"
    titles: Sequence[str] = ()


@dataclass(frozen=True)
class _Frame:
    """From data to pixels of the drawing."""

    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, x: float, y: float) -> tuple[float, float]:
        (x0, x1), (y0, y1) = self.x, self.y
        right = LEFT + (x - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT)
        up = HEIGHT - BOTTOM - (y - y0) / (y1 - y0) * (HEIGHT - TOP - BOTTOM)
        return round(right, 1), round(up, 1)


def chart(series: Sequence[Marks], x_label: str, y_label: str, alt: str) -> str:
    """Return an SVG of points and lines over two axes; `alt` says in words what it shows."""
    points = [p for marks in series for p in marks.points]
    frame = _Frame(_range([x for x, _ in points]), _range([y for _, y in points]))
    body = [_axes(frame, x_label, y_label), *(_drawn(frame, marks) for marks in series)]
    legend = "".join(
        f'<span class="key {escape(m.style)}">{escape(m.label)}</span>' for m in series if m.label
    )
    return (
        f'<figure class="chart"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(alt)}">{"".join(body)}</svg>'
        f'<figcaption class="legend">{legend}</figcaption></figure>'
    )


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers in a range, at most `most` steps of 1, 2 or 5 times a power of ten."""
    step = 10.0 ** np.floor(np.log10((high - low) / most))
    step = next(step * k for k in (1, 2, 5, 10) if (high - low) / (step * k) <= most)
    first = np.ceil(low / step - 1e-9)
    return [round(float(k * step), 10) for k in np.arange(first, np.floor(high / step + 1e-9) + 1)]


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values, default=0.0), max(values, default=1.0)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 0.5
    return low - margin, high + margin


def _axes(frame: _Frame, x_label: str, y_label: str) -> str:
    left, bottom = frame.at(frame.x[0], frame.y[0])
    right, top = frame.at(frame.x[1], frame.y[1])
    lines = [f'<path class="axis" d="M{left} {top}V{bottom}H{right}"/>']
    for x in ticks(*frame.x):
        at, _ = frame.at(x, frame.y[0])
        lines.append(f'<path class="grid" d="M{at} {top}V{bottom}"/>')
        lines.append(f'<text x="{at}" y="{bottom + 18}" text-anchor="middle">{x:g}</text>')
    for y in ticks(*frame.y, 5):
        _, at = frame.at(frame.x[0], y)
        lines.append(f'<path class="grid" d="M{left} {at}H{right}"/>')
        lines.append(f'<text x="{left - 8}" y="{at + 4}" text-anchor="end">{y:g}</text>')
    middle = (top + bottom) / 2
    lines.append(f'<text class="name" x="{(left + right) / 2}" y="{HEIGHT - 8}" '
                 f'text-anchor="middle">{escape(x_label)}</text>')  # fmt: skip
    lines.append(f'<text class="name" transform="translate(16 {middle}) rotate(-90)" '
                 f'text-anchor="middle">{escape(y_label)}</text>')  # fmt: skip
    return "".join(lines)


def _drawn(frame: _Frame, marks: Marks) -> str:
    places = [frame.at(x, y) for x, y in marks.points]
    style = escape(marks.style)
    if marks.shape in ("line", "steps"):
        return f'<path class="line {style}" d="{_path(places, marks.shape == "steps")}"/>'
    titles = list(marks.titles) or [""] * len(places)
    return "".join(
        f"<g>{_glyph(marks.shape, x, y, style)}"
        + (f"<title>{escape(title)}</title></g>" if title else "</g>")
        for (x, y), title in zip(places, titles, strict=True)
    )


def _path(places: Points, steps: bool) -> str:
    if not places:
        return ""
    (x0, y0), *rest = places
    # On a front of two objectives the corner lies below and left of each step's next point.
    return f"M{x0} {y0}" + "".join(f"V{y}H{x}" if steps else f"L{x} {y}" for x, y in rest)


def _glyph(shape: str, x: float, y: float, style: str) -> str:
    if shape == "dot":
        return f'<circle class="{style}" cx="{x}" cy="{y}" r="4"/>'
    if shape == "diamond":
        corners = [(x, y - 8), (x + 8, y), (x, y + 8), (x - 8, y)]
    else:
        turns = np.arange(10) * np.pi / 5
        radii = np.where(np.arange(10) % 2, 4.6, 11)
        corners = [
            (x + r * np.sin(t), y - r * np.cos(t)) for r, t in zip(radii, turns, strict=True)
        ]
    listed = " ".join(f"{cx:.1f},{cy:.1f}" for cx, cy in corners)
    return f'<polygon class="{style}" points="{listed}"/>'


def profile(
    at: Sequence[float], mean: Sequence[float], limits: tuple[float, float], alt: str
) -> str:
    """Return a small line without axes: how the outcome follows one setting.

    `limits` of the outcome are shared by all settings, so that heights can be compared.
    """
    w, h, pad = 120, 34, 4
    (x0, x1), (y0, y1) = _range(at), _range(limits)
    places = [
        (pad + (x - x0) / (x1 - x0) * (w - 2 * pad), h - pad - (y - y0) / (y1 - y0) * (h - 2 * pad))
        for x, y in zip(at, mean, strict=True)
    ]
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    dots = "".join(f'<circle class="front" cx="{x:.1f}" cy="{y:.1f}" r="2"/>' for x, y in places)
    return (
        f'<svg class="profile" viewBox="0 0 {w} {h}" role="img" aria-label="{escape(alt)}">'
        f'<path class="line front" d="M{line}"/>{dots}</svg>'
    )
