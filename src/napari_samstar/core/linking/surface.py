"""Surface of objects by marching cubes, added up plane by plane.

Marching cubes draws the surface inside a cube by the eight voxels at its corners alone. Of a binary
object there are 256 cases, so its surface is the number of its cubes of each case times the area of
the case. That equals marching cubes on the whole object, and two planes are enough.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from skimage import measure

from napari_samstar.core.linking.overlap import Bool, Floats, Ids

CASES = 256
"""Bit 4 p + 2 r + c of a case is the corner at plane p, row r and column c of the cube."""

Section = tuple[Bool, tuple[int, int, int, int]]
"""A cross-section of an object, bool (h, w), and its box (row0, col0, row1, col1), half open."""

NOTHING: Section = np.zeros((0, 0), dtype=bool), (0, 0, 0, 0)
"""The cross-section in a plane in which the object is not."""


def count_cases(below: Section, above: Section) -> Ids:
    """Count the cubes of each case between an object's cross-sections in neighbouring planes.

    Returns
    -------
    ndarray of int64, shape (256,)
        Cubes outside the object, case 0, are not counted.
    """
    boxes = np.array([box for _, box in (below, above) if box[0] < box[2]]).reshape(-1, 4)
    if not len(boxes):
        return np.zeros(CASES, np.int64)
    (row0, col0), (row1, col1) = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    cases = np.zeros((row1 - row0 + 1, col1 - col0 + 1), np.uint8)
    for bit, (mask, (top, left, bottom, right)) in ((0, below), (4, above)):
        if top < bottom:
            part = cases[top - row0 : bottom - row0 + 1, left - col0 : right - col0 + 1]
            part |= _corners(mask) << bit
    counts = np.bincount(cases.ravel(), minlength=CASES)
    counts[0] = 0
    return counts


def _corners(mask: Bool) -> NDArray[np.uint8]:
    """Return the four corners in this plane of the cubes around a mask, shape (h + 1, w + 1)."""
    padded = np.pad(mask, 1).view(np.uint8)
    return np.asarray(
        padded[:-1, :-1] | padded[:-1, 1:] << 1 | padded[1:, :-1] << 2 | padded[1:, 1:] << 3
    )


@lru_cache(maxsize=8)
def case_areas(spacing: tuple[float, float, float]) -> Floats:
    """Return the area of each case, shape (256,), for voxels of size (plane, row, col)."""
    areas = np.zeros(CASES)
    for case in range(1, CASES - 1):
        corners = np.array([case >> bit & 1 for bit in range(8)], float).reshape(2, 2, 2)
        vertices, faces, *_ = measure.marching_cubes(corners, 0.5, spacing=spacing)
        areas[case] = measure.mesh_surface_area(vertices, faces)
    areas.setflags(write=False)  # it is shared by all callers
    return areas
