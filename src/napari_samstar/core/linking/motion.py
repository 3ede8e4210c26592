"""Where objects of an earlier plane are expected in a later one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import fft
from scipy.spatial import KDTree

if TYPE_CHECKING:
    from napari_samstar.core.linking.overlap import Floats, Ids, PlaneObjects, Shift

COARSE_SIDE = 512
"""Planes are reduced to about this many rows and columns before their shift is measured."""

NEIGHBOURS = 5
"""Linked neighbours whose median motion an object is expected to follow."""

MIN_AREA_RATIO = 0.5
"""An object that moved out of its own place has kept at least this share of its area."""


def common_shift(before: PlaneObjects, after: PlaneObjects) -> Shift:
    """Return the shift at which the foregrounds of two planes overlap most, whole px.

    Foregrounds are compared after reduction to about `COARSE_SIDE`; shifts go up to half a plane.
    """
    step = max(1, -(-max(after.labels.shape) // COARSE_SIDE))
    first, second = (_foreground(plane, step) for plane in (before, after))
    # Padding keeps what leaves on one side from being compared with the other side.
    size = [fft.next_fast_len(2 * n, real=True) for n in first.shape]
    product = fft.rfft2(first, size).conj() * fft.rfft2(second, size)
    found = fft.irfft2(product, size)
    peak = np.unravel_index(int(np.argmax(found)), found.shape)
    moved = [int(p) - n if p > n // 2 else int(p) for p, n in zip(peak, size, strict=True)]
    limit = [n // 2 for n in first.shape]
    if any(abs(m) > most for m, most in zip(moved, limit, strict=True)):
        return 0, 0
    return moved[0] * step, moved[1] * step


def _foreground(plane: PlaneObjects, step: int) -> Floats:
    """Return the foreground of every `step`-th pixel, less its mean."""
    inside = (plane.labels[::step, ::step] > 0).astype(np.float64)
    return np.asarray(inside - inside.mean())


def expected(before: PlaneObjects, shift: Shift, linked: Ids, moved: Floats) -> Floats:
    """Return where the objects of `before` are expected in the later plane, (row, col) px.

    Parameters
    ----------
    shift : Shift
        Motion of the whole plane.
    linked : ndarray of int64, shape (k,)
        Positions of objects that are linked already.
    moved : ndarray of float64, shape (k, 2)
        Their motion, (row, col) px.

    Returns
    -------
    ndarray of float64, shape (n, 2)
    """
    if len(linked) < NEIGHBOURS:
        return np.asarray(before.centroids + shift)
    tree = KDTree(before.centroids[linked])
    _, near = tree.query(before.centroids, k=NEIGHBOURS)
    return np.asarray(before.centroids + np.median(moved[near], axis=1))


def within_reach(
    at: Floats, areas: tuple[Ids, Ids], to: Floats, reach: float
) -> tuple[Ids, Ids, Floats]:
    """Return pairs of objects that are near enough and of similar area.

    Parameters
    ----------
    at, to : ndarray of float64, shape (n, 2) and (m, 2)
        Expected and found centroids, px.
    areas : (ndarray of int64, shape (n,), ndarray of int64, shape (m,))
        px.
    reach : float
        Greatest distance, in square roots of the mean area of the two.

    Returns
    -------
    tuple of ndarray
        Positions in `at` and `to`, and scores: 1 where expected, 0 at the greatest distance.
    """
    if not len(at) or not len(to):
        nothing = np.zeros(0, np.int64)
        return nothing, nothing, np.zeros(0)
    furthest = reach * np.sqrt(max(areas[0].max(), areas[1].max()))
    near = KDTree(at).sparse_distance_matrix(KDTree(to), furthest, output_type="ndarray")
    i, j = near["i"].astype(np.int64), near["j"].astype(np.int64)
    first, second = areas[0][i], areas[1][j]
    distance = near["v"] / np.sqrt((first + second) / 2)
    ratio = np.minimum(first, second) / np.maximum(first, second)
    kept = (distance <= reach) & (ratio >= MIN_AREA_RATIO)
    return i[kept], j[kept], 1 - distance[kept] / reach
