"""A mask of a part of an image, so that nothing of the size of a large image is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Extent = tuple[int, int, int, int]
"""(row0, col0, row1, col1), half open, px of the image."""

PART_STEP = 256
"""Sides of the parts that are drawn are multiples of this, px; a layer whose shape stays is quick
to change."""

PART_MARGIN = 4
"""Background around the mask in such a part, px."""


@dataclass(frozen=True, eq=False)
class PlacedMask:
    """A mask of a part of an image; all else is background.

    Attributes
    ----------
    mask : ndarray of bool, shape (h, w)
    row, col : int
        First pixel of the part, px of the image.
    """

    mask: NDArray[np.bool_]
    row: int = 0
    col: int = 0

    @property
    def extent(self) -> Extent:
        """The part."""
        rows, cols = self.mask.shape
        return self.row, self.col, self.row + rows, self.col + cols

    @property
    def slices(self) -> tuple[slice, slice]:
        """The part, as an index into an array of the image's shape."""
        row0, col0, row1, col1 = self.extent
        return slice(row0, row1), slice(col0, col1)

    def tight(self) -> PlacedMask | None:
        """Return the mask on its tight extent; None for an empty one."""
        found = mask_extent(self.mask)
        if found is None:
            return None
        row0, col0, row1, col1 = found
        return PlacedMask(self.mask[row0:row1, col0:col1], self.row + row0, self.col + col0)

    def within(self, extent: Extent) -> PlacedMask:
        """Return the mask on another part of the image; pixels outside of that part are lost."""
        if extent == self.extent:
            return self
        row0, col0, row1, col1 = extent
        found = np.zeros((row1 - row0, col1 - col0), dtype=np.bool_)
        top, left = max(row0, self.row), max(col0, self.col)
        bottom, right = min(row1, self.extent[2]), min(col1, self.extent[3])
        if top < bottom and left < right:
            found[top - row0 : bottom - row0, left - col0 : right - col0] = self.mask[
                top - self.row : bottom - self.row, left - self.col : right - self.col
            ]
        return PlacedMask(found, row0, col0)


def mask_extent(mask: NDArray[np.bool_]) -> Extent | None:
    """Return the tight extent of a mask (H, W) in its own frame; None for an empty one."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return None
    row0, row1 = int(rows[0]), int(rows[-1]) + 1
    cols = np.flatnonzero(mask[row0:row1].any(axis=0))
    return row0, int(cols[0]), row1, int(cols[-1]) + 1


def union(one: Extent, other: Extent) -> Extent:
    """Return the smallest extent that holds two."""
    return (
        min(one[0], other[0]),
        min(one[1], other[1]),
        max(one[2], other[2]),
        max(one[3], other[3]),
    )


def part_around(extent: Extent, room: Extent) -> Extent:
    """Return a part of `room` with some background around `extent`, to draw a mask in.

    Its sides are multiples of `PART_STEP`, or those of `room`.
    """
    row0, col0, row1, col1 = extent
    top, bottom = _part_span(row0, row1, room[0], room[2])
    left, right = _part_span(col0, col1, room[1], room[3])
    return top, left, bottom, right


def _part_span(low: int, high: int, first: int, last: int) -> tuple[int, int]:
    side = -(-(high - low + 2 * PART_MARGIN) // PART_STEP) * PART_STEP
    if side >= last - first:
        return first, last
    start = min(max((low + high - side) // 2, first), last - side)
    return start, start + side
