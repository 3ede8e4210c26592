"""Building blocks of the report: pictures, tables, charts of a finished run, as HTML text."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import imageio.v3 as iio
import numpy as np
from numpy.typing import NDArray
from skimage.transform import downscale_local_mean

from napari_samstar.core.results.charts import Series, chart
from napari_samstar.core.results.figures import overlay, round_length

if TYPE_CHECKING:
    from napari_samstar.core.image.micrograph import Micrograph
    from napari_samstar.core.masks.painting import Labels
    from napari_samstar.core.tuning.front import Front
    from napari_samstar.core.tuning.summary import StudySummary

PICTURE_SIDE = 1200
"""Long side of an embedded picture, px, at which outlines are crisp and a page stays small."""


@dataclass(frozen=True, eq=False)
class Pair:
    """One image with what SAM's defaults and what the chosen settings find.

    Attributes
    ----------
    image : Micrograph
    defaults, chosen : ndarray of int32, shape (H, W)
        Labels, 0 is background.
    held_out : bool
    """

    image: Micrograph
    defaults: Labels
    chosen: Labels
    held_out: bool = False


# --- pictures ---------------------------------------------------------------------------------


def pictures(pair: Pair) -> str:
    """Return both overlays, side by side on paper and under a slider on a screen."""
    side = max(pair.image.shape)
    zoom, shrink = max(1, round(PICTURE_SIDE / side)), max(1, round(side / PICTURE_SIDE))
    bar = _scale_bar(pair.image)
    found = []
    for labels, title in ((pair.defaults, "SAM's defaults"), (pair.chosen, "chosen")):
        n = len(np.unique(labels[labels > 0]))
        text = f"{title}: {n} object{'s' * (n != 1)}"
        picture = overlay(pair.image.pixels, labels, zoom)
        if shrink > 1:
            small = downscale_local_mean(picture, (shrink, shrink, 1))
            picture = np.asarray(np.rint(small), dtype=np.uint8)
        found.append(
            f'<figure><img alt="{escape(text)}" src="{jpeg(picture)}">'
            f'<span class="tag">{escape(text)}</span>{bar}</figure>'
        )
    name = escape(pair.image.name)
    slider = f'<input class="cut" type="range" min="0" max="100" value="50" aria-label="{name}">'
    return f'<div class="pair">{"".join(found)}{slider}</div>'


def jpeg(picture: NDArray[np.uint8]) -> str:
    """Return a picture of shape (H, W, 3) as a data URI."""
    raw = iio.imwrite("<bytes>", picture, extension=".jpg", quality=87)
    return "data:image/jpeg;base64," + base64.b64encode(raw).decode()


def _scale_bar(image: Micrograph) -> str:
    if image.pixel_size is None:
        return ""
    width = image.pixel_size[1] * image.shape[1]
    length = round_length(width / 5)
    share = 100 * length / width
    return f'<span class="bar" style="width:{share:.2f}%">{length:g} {escape(image.unit)}</span>'


# --- tables -----------------------------------------------------------------------------------


def table(head: Sequence[str], rows: Iterable[str]) -> str:
    """Return a table that scrolls sideways on a small screen; `rows` are made by `row`."""
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    return (
        f'<div class="scroll"><table><thead><tr>{cells}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def row(*cells: Any, style: str = "") -> str:
    """Return a table row; a cell is text, or a pair of its CSS class and HTML that is ready."""
    made = []
    for cell in cells:
        if isinstance(cell, tuple):
            made.append(f'<td class="{cell[0]}">{cell[1]}</td>')
        else:
            made.append(f"<td>{escape(str(cell))}</td>")
    return f'<tr class="{style}">{"".join(made)}</tr>'


def change(before: float, after: float) -> tuple[str, str]:
    """Return a cell with the signed difference of two numbers between 0 and 1."""
    gain = after - before
    style = "" if abs(gain) < 0.0005 else "up" if gain > 0 else "down"
    return style, f"{gain:+.3f}".replace("-", "−")


# --- charts -----------------------------------------------------------------------------------


def front_chart(summary: StudySummary) -> str:
    """Draw every evaluation, the front, SAM's defaults and the chosen one."""
    front, names = summary.front, summary.front.goal.names
    points = front.points
    if points.shape[1] == 1:
        return _history(summary)
    members = front.members.tolist()
    rest = sorted(set(range(len(points))) - set(members))
    series = [
        Series(_xy(points, rest), "tried", "tried", titles=_titles(front, rest)),
        Series(_xy(points, members), "front", "Pareto front", titles=_titles(front, members)),
    ]
    if points.shape[1] == 2:
        series.insert(1, Series(_xy(points, members), "front", shape="steps"))
    if front.defaults is not None:
        series.append(_marked(front, front.defaults, "defaults", "SAM's defaults", "diamond"))
    series.append(_marked(front, summary.picked, "picked", "chosen", "star"))
    x, y = (f"{name} (higher is better)" for name in names[:2])
    return chart(series, x, y, f"{len(points)} settings, {len(members)} on the front")


def _history(summary: StudySummary) -> str:
    """Draw a single objective in the order of the evaluations, and the best so far."""
    front = summary.front
    values = front.points[:, 0]
    best = np.maximum.accumulate(values)
    tried = list(enumerate(values.tolist()))
    series = [
        Series(tried, "tried", "tried", titles=_titles(front, range(len(values)))),
        Series(list(enumerate(best.tolist())), "front", "best so far", shape="line"),
    ]
    series.append(Series([tried[summary.picked]], "picked", "chosen", "star"))
    return chart(series, "Settings, in the order tried", front.goal.names[0], "Best so far")


def hypervolume_chart(summary: StudySummary) -> str:
    """Draw hypervolume against evaluations, with random search's where there is one."""
    curve = summary.curve
    series = [
        Series(list(zip(curve.counts, curve.searched, strict=True)), "searched", "search", "line")
    ]
    if curve.random:
        random = list(zip(curve.counts, curve.random, strict=True))
        series.append(Series(random, "drawn", "random search, same budget", "line"))
    return chart(series, "Settings tried", "Hypervolume", "Hypervolume while the search went on")


def _xy(points: NDArray[np.float64], positions: Iterable[int]) -> list[tuple[float, float]]:
    return [(float(points[k, 0]), float(points[k, 1])) for k in positions]


def _titles(front: Front, positions: Iterable[int]) -> list[str]:
    return [
        f"setting {k}: {front.trials[k].n_masks} masks, "
        + ", ".join(
            f"{name} {value:.3f}"
            for name, value in zip(front.goal.names, front.points[k], strict=True)
        )
        for k in positions
    ]


def _marked(front: Front, position: int, style: str, label: str, shape: str) -> Series:
    titles = [f"{label}, {text}" for text in _titles(front, [position])]
    return Series(_xy(front.points, [position]), style, label, shape, titles)
