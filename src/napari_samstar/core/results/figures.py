"""Figures of a result: the Pareto front, and outlines over the image."""

from __future__ import annotations

import colorsys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from skimage.segmentation import find_boundaries

from napari_samstar.core.atomic import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from napari_samstar.core.image.micrograph import Micrograph
    from napari_samstar.core.masks.painting import Labels
    from napari_samstar.core.tuning.front import Front

INK, MUTED, GRID = "#1f2933", "#7b8794", "#e4e7eb"
PICKED, DEFAULTS, FRONT = "#d1495b", "#edae49", "#00798c"

OVERLAY_SIDE = 1200
"""px; smaller images are enlarged by a whole factor to about this long side, for thin outlines."""

_DPI = 150
_FILL_OPACITY = 0.22  # of an object; its outline is opaque


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, atomically."""
    with write_atomic(path) as part:
        # Without a format, matplotlib would take it from the suffix, which the path may lack
        figure.canvas.print_figure(part, format="png", dpi=figure.dpi, facecolor="white")


# --- the Pareto front -------------------------------------------------------------------------


def front_figure(front: Front, picked: int | None = None) -> Figure:
    """Return a plot of all trials, the front, SAM's defaults and the picked trial.

    Two objectives are the axes and a third one is the colour. A single objective is plotted
    against the number of the trial, with the best value so far.

    Parameters
    ----------
    front : Front
    picked : int, optional
        Position of the trial in `front`.
    """
    figure = Figure(figsize=(7.2, 5.2), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _style_axes(axes)
    if front.points.shape[1] == 1:
        _draw_history(axes, front)
    else:
        _draw_objectives(figure, axes, front)
    if front.defaults is not None:
        _draw_mark(axes, front, front.defaults, "SAM's defaults", DEFAULTS, "s", above=False)
    if picked is not None:
        _draw_mark(axes, front, picked, "picked", PICKED, "*", above=True)
    n = len(front.trials)
    axes.set_title(f"{n} configurations, {len(front.members)} on the front", loc="left",
                   color=INK, fontsize=12, pad=12)  # fmt: skip
    # Room for the labels of the outermost points
    axes.margins(x=0.16, y=0.16)
    if front.points.shape[1] == 1:
        axes.set_xlim(left=-0.04 * n)
    return figure


def _style_axes(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelcolor=INK, labelsize=9)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def _draw_objectives(figure: Figure, axes: Axes, front: Front) -> None:
    names, points = front.goal.names, front.points
    on_front = points[front.members]
    colours: dict[str, Any] = {"color": FRONT}
    if points.shape[1] == 3:
        low, high = points[:, 2].min(), points[:, 2].max()
        colours = {"c": on_front[:, 2], "cmap": "viridis", "vmin": low, "vmax": high}
    axes.scatter(points[:, 0], points[:, 1], s=16, color=MUTED, alpha=0.35, linewidth=0,
                 label="tried")  # fmt: skip
    if points.shape[1] == 2:
        axes.step(on_front[:, 0], on_front[:, 1], where="pre", color=FRONT, linewidth=1.2,
                  alpha=0.6)  # fmt: skip
    dots = axes.scatter(on_front[:, 0], on_front[:, 1], s=42, edgecolor="white", linewidth=0.8,
                        zorder=3, label="Pareto front", **colours)  # fmt: skip
    if points.shape[1] == 3:
        bar = figure.colorbar(dots, ax=axes, shrink=0.8)
        bar.set_label(f"{names[2]}  (higher is better)", color=INK)
        bar.outline.set_visible(False)
    axes.set_xlabel(f"{names[0]}  (higher is better)", color=INK)
    axes.set_ylabel(f"{names[1]}  (higher is better)", color=INK)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, frameon=False,
                fontsize=9, labelcolor=INK)  # fmt: skip


def _draw_history(axes: Axes, front: Front) -> None:
    values = front.points[:, 0]
    order = np.arange(len(values))
    axes.scatter(order, values, s=16, color=MUTED, alpha=0.35, linewidth=0)
    axes.step(order, np.maximum.accumulate(values), where="post", color=FRONT, linewidth=1.5)
    axes.set_xlabel("Configuration, in the order tried", color=INK)
    axes.set_ylabel(f"{front.goal.names[0]}  (higher is better)", color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _draw_mark(
    axes: Axes, front: Front, position: int, text: str, colour: str, marker: str, *, above: bool
) -> None:
    """Mark one trial, and label it above or below its right.

    The mark is drawn under the dots of the front, so that it hides none of them.
    """
    point = front.points[position]
    x, y = point[:2] if len(point) > 1 else (position, point[0])
    n = front.trials[position].n_masks
    axes.scatter(x, y, s=560 if marker == "*" else 80, color=colour, edgecolor="white",
                 linewidth=1, marker=marker, zorder=2.5)  # fmt: skip
    axes.annotate(
        f"{text}\n{n} object{'s' * (n != 1)}", (x, y), xytext=(11, 9 if above else -9),
        textcoords="offset points", va="bottom" if above else "top", fontsize=9, color=INK,
        zorder=5, bbox={"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": colour,
                        "alpha": 0.9},
    )  # fmt: skip


# --- outlines over the image ------------------------------------------------------------------


def overlay_figure(
    image: Micrograph, labels: Labels, *, step: int = 1, n_objects: int | None = None
) -> Figure:
    """Return the image as SAM sees it with all objects, a scale bar and the number of objects.

    Parameters
    ----------
    image : Micrograph
        H x W pixels.
    labels : ndarray of int32, shape (ceil(H / step), ceil(W / step))
        Every `step`-th pixel of the label image, along rows and columns.
    n_objects : int, optional
        Number of objects of the label image; counted where it is not given.
    """
    zoom = max(1, round(OVERLAY_SIDE / max(image.shape)))
    picture = overlay(image.thumbnail(step), labels, zoom)
    rows, cols = picture.shape[:2]
    figure = Figure(figsize=(cols / _DPI, rows / _DPI), dpi=_DPI)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(picture, interpolation="none")
    axes.set_axis_off()
    n = len(np.unique(labels[labels > 0])) if n_objects is None else n_objects
    size = max(7.0, min(rows, cols) * 0.028 * 72 / _DPI)
    look = {"color": "white", "fontsize": size,
            "bbox": {"boxstyle": "round,pad=0.35", "facecolor": "black", "alpha": 0.55,
                     "linewidth": 0}}  # fmt: skip
    axes.text(0.02, 0.98, "1 object" if n == 1 else f"{n} objects", ha="left", va="top",
              transform=axes.transAxes, **look)  # fmt: skip
    if image.pixel_size is not None:
        _draw_scale_bar(axes, image.pixel_size[1] * step / zoom, image.unit, cols, size)
    return figure


def overlay(rgb: NDArray[np.uint8], labels: Labels, zoom: int = 1) -> NDArray[np.uint8]:
    """Return an RGB image with the outline of each label and a faint fill.

    Parameters
    ----------
    rgb : ndarray of uint8, shape (H, W, 3)
    labels : ndarray of int32, shape (H, W)
    zoom : int
        Both are enlarged by this factor.

    Returns
    -------
    ndarray of uint8, shape (H * zoom, W * zoom, 3)
    """
    picture = np.kron(rgb, np.ones((zoom, zoom, 1), dtype=np.uint8)).astype(np.float32)
    large = np.kron(labels, np.ones((zoom, zoom), dtype=labels.dtype))
    colours = _colours(int(labels.max(initial=0)))
    inside = large > 0
    picture[inside] += _FILL_OPACITY * (colours[large[inside]] - picture[inside])
    outline = find_boundaries(large, mode="inner") & inside
    if max(large.shape) >= OVERLAY_SIDE // 2:  # one px is too thin for large images
        outline |= find_boundaries(np.where(outline, 0, large), mode="inner") & inside
    picture[outline] = colours[large[outline]]
    return np.asarray(np.rint(picture), dtype=np.uint8)


def _colours(n: int) -> NDArray[np.float32]:
    """Return n + 1 RGB colours, 0 to 255, shape (n + 1, 3), with distinct consecutive hues."""
    golden = 0.618033988749895
    hues = (0.55 + golden * np.arange(n + 1)) % 1.0
    values = [colorsys.hsv_to_rgb(h, 0.75 if k % 2 else 0.55, 1.0) for k, h in enumerate(hues)]
    return np.asarray(values, dtype=np.float32) * 255


def _draw_scale_bar(axes: Axes, pixel: float, unit: str, cols: int, size: float) -> None:
    """Draw a bar of a round length, at most a fifth of the width, at the lower right.

    Parameters
    ----------
    pixel : float
        Width of a pixel of the picture, in `unit`.
    cols : int
        Width of the picture, px.
    size : float
        Of the font, pt.
    """
    length = round_length(pixel * cols / 5)
    share = length / (pixel * cols)
    right, low = 0.97, 0.035
    axes.text(right - share / 2, low + 0.012, f"{length:g} {unit}", ha="center", va="bottom",
              color="white", fontsize=size, transform=axes.transAxes,
              bbox={"boxstyle": "round,pad=0.25", "facecolor": "black", "alpha": 0.55,
                    "linewidth": 0})  # fmt: skip
    axes.plot([right - share, right], [low, low], color="white", linewidth=size / 2.5,
              solid_capstyle="butt", transform=axes.transAxes)  # fmt: skip


def round_length(length: float) -> float:
    """Return the largest number of at most `length` that is 1, 2 or 5 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(length))
    return float(max(k * power for k in (1, 2, 5) if k * power <= length * (1 + 1e-9)))
