"""Exact outlines of masks, along the edges between pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_samstar.core.masks.store import Bool

Ring: TypeAlias = NDArray[np.int64]
"""Vertices of a closed outline, int64, shape (n, 2): (x, y) at corners of pixels.

(0, 0) is the upper left corner of the upper left pixel. The first vertex is not repeated at the
end. Outer rings have a positive `area`, rings of holes a negative one.
"""

_STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))  # (row, col) steps: right, down, left, up


def outlines(mask: Bool) -> list[Ring]:
    """Return the outlines of a bool (H, W) mask; the sum of their areas is the area of the mask.

    Objects that touch only at a corner have separate rings.
    """
    edges = _boundary_edges(np.pad(mask, 1))
    rings = []
    while edges:
        start = next(iter(edges))
        rings.append(_trace_ring(edges, start))
    return rings


def rim(mask: Bool, width: int) -> Bool:
    """Return the pixels of a mask (H, W) within `width` px of its outside or the image's border.

    Distances are measured along rows and columns only, which is fast enough for every click.
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


def _boundary_edges(padded: Bool) -> dict[tuple[int, int], list[int]]:
    """Return the directions of the edges that start at each corner (row, col).

    Directions are indices of `_STEPS`; the mask is on the right of every edge. `padded` is the
    mask with a margin of one pixel.
    """
    inner = padded[1:-1, 1:-1]
    starts = (
        np.argwhere(inner & ~padded[:-2, 1:-1]),  # upper side, from the upper left to the right
        np.argwhere(inner & ~padded[1:-1, 2:]) + np.array([0, 1]),  # right side, down
        np.argwhere(inner & ~padded[2:, 1:-1]) + np.array([1, 1]),  # lower side, to the left
        np.argwhere(inner & ~padded[1:-1, :-2]) + np.array([1, 0]),  # left side, up
    )
    edges: dict[tuple[int, int], list[int]] = {}
    for direction, corners in enumerate(starts):
        for row, col in corners.tolist():
            edges.setdefault((row, col), []).append(direction)
    return edges


def _trace_ring(edges: dict[tuple[int, int], list[int]], start: tuple[int, int]) -> Ring:
    """Follow edges from `start` until the ring is closed, and remove them from `edges`."""
    corners, at, direction = [], start, -1
    while True:
        direction, turned = _pop_next_edge(edges, at, direction)
        if turned:
            corners.append((at[1], at[0]))
        step = _STEPS[direction]
        at = (at[0] + step[0], at[1] + step[1])
        if at == start and (at not in edges or (direction + 1) % 4 not in edges[at]):
            return np.array(corners, dtype=np.int64)


def _pop_next_edge(
    edges: dict[tuple[int, int], list[int]], at: tuple[int, int], direction: int
) -> tuple[int, bool]:
    """Remove an edge that starts at a corner; return its direction and whether it is a turn.

    Where two edges start there, the right turn is taken, which stays on the same object.
    """
    starting = edges[at]
    right = (direction + 1) % 4
    chosen = right if direction >= 0 and right in starting else starting[0]
    starting.remove(chosen)
    if not starting:
        del edges[at]
    return chosen, chosen != direction
