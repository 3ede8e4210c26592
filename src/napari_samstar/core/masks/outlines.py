"""Exact outlines of label images, along the edges between pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_samstar.core.masks.store import Bool

Ring: TypeAlias = NDArray[np.int64]
"""Corners of a closed outline, int64, shape (n, 2): (x, y) between pixels, the first not repeated.

(0, 0) is the upper left corner of the upper left pixel. Outer rings have a positive `area`, holes
a negative one.
"""

_TURNS = ((0, 1), (1, 0), (0, -1), (-1, 0))  # (row, col) steps: right, down, left, up


def outlines(mask: Bool) -> list[Ring]:
    """Return the outlines of a bool (H, W) mask; their areas add up to its pixels exactly.

    Pixels that touch at a corner only belong to different rings.
    """
    ends = _edges(np.pad(mask, 1))
    rings = []
    while ends:
        start = next(iter(ends))
        rings.append(_ring(ends, start))
    return rings


def rim(mask: Bool, width: int) -> Bool:
    """Return the pixels of a mask (H, W) within `width` px of its outside or the image's edge.

    Distances run along rows and columns. Cheap, since it is drawn after every click.
    """
    inner, padded = mask.copy(), np.pad(mask, width)
    rows, cols = mask.shape
    for step in range(1, width + 1):
        for dr, dc in ((-step, 0), (step, 0), (0, -step), (0, step)):
            inner &= padded[width + dr : width + dr + rows, width + dc : width + dc + cols]
    return mask & ~inner


def area(ring: Ring) -> float:
    """Return the area inside a ring, px; negative for a hole."""
    x, y = ring[:, 0].astype(float), ring[:, 1].astype(float)
    return float(np.dot(x, np.roll(y, -1)) - np.dot(np.roll(x, -1), y)) / 2


def _edges(padded: Bool) -> dict[tuple[int, int], list[int]]:
    """Return for each corner (row, col) the directions in which an edge leaves it.

    The mask lies on the right of every edge.
    """
    inner = padded[1:-1, 1:-1]
    starts = (
        np.argwhere(inner & ~padded[:-2, 1:-1]),  # upper edges run right, from the upper left
        np.argwhere(inner & ~padded[1:-1, 2:]) + np.array([0, 1]),
        np.argwhere(inner & ~padded[2:, 1:-1]) + np.array([1, 1]),
        np.argwhere(inner & ~padded[1:-1, :-2]) + np.array([1, 0]),
    )
    ends: dict[tuple[int, int], list[int]] = {}
    for direction, corners in enumerate(starts):
        for row, col in corners.tolist():
            ends.setdefault((row, col), []).append(direction)
    return ends


def _ring(ends: dict[tuple[int, int], list[int]], start: tuple[int, int]) -> Ring:
    """Follow edges from `start` until they close, take them out of `ends`, return the corners."""
    corners, at, heading = [], start, -1
    while True:
        heading, turned = _next(ends, at, heading)
        if turned:
            corners.append((at[1], at[0]))
        step = _TURNS[heading]
        at = (at[0] + step[0], at[1] + step[1])
        if at == start and (at not in ends or (heading + 1) % 4 not in ends[at]):
            return np.array(corners, dtype=np.int64)


def _next(
    ends: dict[tuple[int, int], list[int]], at: tuple[int, int], heading: int
) -> tuple[int, bool]:
    """Take one edge at a corner: where two leave it, the right turn, which stays on the object."""
    leaving = ends[at]
    right = (heading + 1) % 4
    chosen = right if heading >= 0 and right in leaving else leaving[0]
    leaving.remove(chosen)
    if not leaving:
        del ends[at]
    return chosen, chosen != heading
