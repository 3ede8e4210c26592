"""Charts as inline SVG. Their colours come from the page's CSS, for light and dark mode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

WIDTH, HEIGHT = 640, 380  # px
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 14, 48  # margins, px

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Series:
    """One series of a chart.

    Attributes
    ----------
    points : sequence of (x, y)
    style : str
        CSS class: "tried", "front", "defaults", "picked", "searched" or "drawn".
    label : str
        Text in the legend; empty for no entry.
    shape : {"dot", "line", "steps", "diamond", "star"}
    titles : sequence of str
        Tooltips of the points.
    """

    points: Points
    style: str
    label: str = ""
    shape: str = "dot"
    titles: Sequence[str] = ()


@dataclass(frozen=True)
class _Scale:
    """Maps data to pixels of the SVG; `x` and `y` are the ranges of the axes."""

    x: tuple[float, float]
    y: tuple[float, float]

    def to_pixel(self, x: float, y: float) -> tuple[float, float]:
        (x0, x1), (y0, y1) = self.x, self.y
        right = LEFT + (x - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT)
        up = HEIGHT - BOTTOM - (y - y0) / (y1 - y0) * (HEIGHT - TOP - BOTTOM)
        return round(right, 1), round(up, 1)


def chart(series: Sequence[Series], x_label: str, y_label: str, alt: str) -> str:
    """Return an HTML figure of points and lines over two axes.

    Parameters
    ----------
    series : sequence of Series
        Later ones are drawn over earlier ones.
    alt : str
        Description for screen readers.
    """
    points = [p for each in series for p in each.points]
    scale = _Scale(_axis_range([x for x, _ in points]), _axis_range([y for _, y in points]))
    body = [_axes(scale, x_label, y_label), *(_series_svg(scale, each) for each in series)]
    legend = "".join(
        f'<span class="key {escape(s.style)}">{escape(s.label)}</span>' for s in series if s.label
    )
    return (
        f'<figure class="chart"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(alt)}">{"".join(body)}</svg>'
        f'<figcaption class="legend">{legend}</figcaption></figure>'
    )


def ticks(low: float, high: float, max_steps: int = 6) -> list[float]:
    """Return round numbers in a range, with steps of 1, 2 or 5 times a power of ten."""
    step = 10.0 ** np.floor(np.log10((high - low) / max_steps))
    step = next(step * k for k in (1, 2, 5, 10) if (high - low) / (step * k) <= max_steps)
    first = np.ceil(low / step - 1e-9)
    return [round(float(k * step), 10) for k in np.arange(first, np.floor(high / step + 1e-9) + 1)]


def _axis_range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values, default=0.0), max(values, default=1.0)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 0.5
    return low - margin, high + margin


def _axes(scale: _Scale, x_label: str, y_label: str) -> str:
    left, bottom = scale.to_pixel(scale.x[0], scale.y[0])
    right, top = scale.to_pixel(scale.x[1], scale.y[1])
    lines = [f'<path class="axis" d="M{left} {top}V{bottom}H{right}"/>']
    for x in ticks(*scale.x):
        px, _ = scale.to_pixel(x, scale.y[0])
        lines.append(f'<path class="grid" d="M{px} {top}V{bottom}"/>')
        lines.append(f'<text x="{px}" y="{bottom + 18}" text-anchor="middle">{x:g}</text>')
    for y in ticks(*scale.y, 5):
        _, py = scale.to_pixel(scale.x[0], y)
        lines.append(f'<path class="grid" d="M{left} {py}H{right}"/>')
        lines.append(f'<text x="{left - 8}" y="{py + 4}" text-anchor="end">{y:g}</text>')
    middle = (top + bottom) / 2
    lines.append(f'<text class="name" x="{(left + right) / 2}" y="{HEIGHT - 8}" '
                 f'text-anchor="middle">{escape(x_label)}</text>')  # fmt: skip
    lines.append(f'<text class="name" transform="translate(16 {middle}) rotate(-90)" '
                 f'text-anchor="middle">{escape(y_label)}</text>')  # fmt: skip
    return "".join(lines)


def _series_svg(scale: _Scale, series: Series) -> str:
    pixels = [scale.to_pixel(x, y) for x, y in series.points]
    style = escape(series.style)
    if series.shape in ("line", "steps"):
        return f'<path class="line {style}" d="{_path(pixels, series.shape == "steps")}"/>'
    titles = list(series.titles) or [""] * len(pixels)
    return "".join(
        f"<g>{_glyph(series.shape, x, y, style)}"
        + (f"<title>{escape(title)}</title></g>" if title else "</g>")
        for (x, y), title in zip(pixels, titles, strict=True)
    )


def _path(pixels: Points, steps: bool) -> str:
    if not pixels:
        return ""
    (x0, y0), *rest = pixels
    # Corners of a front's steps lie below and left of the next point: no point dominates them
    return f"M{x0} {y0}" + "".join(f"V{y}H{x}" if steps else f"L{x} {y}" for x, y in rest)


def _glyph(shape: str, x: float, y: float, style: str) -> str:
    if shape == "dot":
        return f'<circle class="{style}" cx="{x}" cy="{y}" r="4"/>'
    if shape == "diamond":
        corners = [(x, y - 8), (x + 8, y), (x, y + 8), (x - 8, y)]
    else:
        angles = np.arange(10) * np.pi / 5
        radii = np.where(np.arange(10) % 2, 4.6, 11)
        corners = [
            (x + r * np.sin(t), y - r * np.cos(t)) for r, t in zip(radii, angles, strict=True)
        ]
    listed = " ".join(f"{cx:.1f},{cy:.1f}" for cx, cy in corners)
    return f'<polygon class="{style}" points="{listed}"/>'


def profile(
    at: Sequence[float], mean: Sequence[float], limits: tuple[float, float], alt: str
) -> str:
    """Return a small SVG line plot without axes: mean outcome against one setting.

    Parameters
    ----------
    at, mean : sequence of float
        x and y.
    limits : (float, float)
        Range of y, the same for all settings so that heights are comparable.
    alt : str
        Description for screen readers.
    """
    w, h, pad = 120, 34, 4
    (x0, x1), (y0, y1) = _axis_range(at), _axis_range(limits)
    pixels = [
        (pad + (x - x0) / (x1 - x0) * (w - 2 * pad), h - pad - (y - y0) / (y1 - y0) * (h - 2 * pad))
        for x, y in zip(at, mean, strict=True)
    ]
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y in pixels)
    dots = "".join(f'<circle class="front" cx="{x:.1f}" cy="{y:.1f}" r="2"/>' for x, y in pixels)
    return (
        f'<svg class="profile" viewBox="0 0 {w} {h}" role="img" aria-label="{escape(alt)}">'
        f'<path class="line front" d="M{line}"/>{dots}</svg>'
    )
