"""Shape descriptors of masks, and likeness to examples."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import scipy
from numpy.typing import NDArray
from skimage import measure

from napari_samstar.core.errors import UserError

if TYPE_CHECKING:
    from napari_samstar.core.masks.store import Bool, MaskStore

Column = NDArray[np.float64]
Ids = NDArray[np.int64]

Shapes = tuple[tuple[float, ...], ...]
"""Descriptors of objects, a row of four for each; see `descriptors_of`."""

TOLERANCE = np.array([0.15, 0.12, 0.06, 0.04])
"""Deviations that count as the same shape even among identical examples: log diameter, log aspect
ratio, circularity, solidity. About the error of a mask's outline of one pixel at 30 px."""

MOST_EXAMPLES = 30
"""Of more objects every second, third, ... is an example: each configuration carries them."""

_REACH = 50.0
"""Likeness exp(-D^2 / 50): 0.98 at D = 1, 0.61 at D = 5, 0.2 at D = 9. Wide, because SAM's outlines
of objects that others hide in part deviate far more than those of the few that a user points out:
on drawn rods half of the right masks lie beyond D = 5, and spheres of their area begin at 7."""


def shape_of(window: Bool) -> tuple[float, float, float]:
    """Return circularity, solidity and aspect ratio of the mask in a bool `window` (h, w).

    Circularity 4 pi a / P^2 with the perimeter of Benkrid and Crookes as scikit-image measures it,
    at most 1; solidity a over the area of the convex hull of the pixels' corners; aspect ratio of
    the ellipse with the same second moments. (0, 0, 1) for a mask without a pixel.
    """
    rows, cols = np.nonzero(window)
    area = len(rows)
    if not area:
        return 0.0, 0.0, 1.0
    perimeter = float(measure.perimeter(np.pad(window, 1), 4))
    circularity = min(4 * np.pi * area / perimeter**2, 1.0) if perimeter else 1.0
    return circularity, min(area / _hull_area(window), 1.0), _aspect(rows, cols)


def _aspect(rows: NDArray[np.int64], cols: NDArray[np.int64]) -> float:
    # Each pixel is a unit square, whose own second moment is 1/12.
    along, across, mixed = rows.var() + 1 / 12, cols.var() + 1 / 12, 0.0
    mixed = float(((rows - rows.mean()) * (cols - cols.mean())).mean())
    half, root = (along + across) / 2, float(np.hypot((along - across) / 2, mixed))
    return float(np.sqrt((half + root) / max(half - root, 1e-9)))


def _hull_area(window: Bool) -> float:
    """Return the area of the convex hull of the set pixels' corners, px."""
    filled = np.flatnonzero(window.any(axis=1))
    first = window[filled].argmax(axis=1)
    last = window.shape[1] - window[filled, ::-1].argmax(axis=1)
    corners = [(r + dr, c) for dr in (0, 1) for r, cs in zip(filled, zip(first, last, strict=True),
               strict=True) for c in cs]  # fmt: skip
    try:
        return float(scipy.spatial.ConvexHull(np.array(corners)).volume)
    except scipy.spatial.QhullError:
        return float(window.sum())


def descriptors_of(areas: Column, shapes: Column) -> Column:
    """Return log diameter, log aspect ratio, circularity, solidity, shape (k, 4).

    Parameters
    ----------
    areas : ndarray of float64, shape (k,)
        px.
    shapes : ndarray of float64, shape (k, 3)
        As `shape_of` gives them.
    """
    diameter = 2 * np.sqrt(np.maximum(areas, 1) / np.pi)
    return np.column_stack([np.log(diameter), np.log(shapes[:, 2]), shapes[:, 0], shapes[:, 1]])


@dataclass(frozen=True, eq=False)
class ShapePrior:
    """Mean (4,) and inverse covariance (4, 4) of the descriptors of examples."""

    mean: Column
    precision: Column


def shapes_in(examples: NDArray[np.integer]) -> Shapes:
    """Describe the objects of a label image of shape (H, W), at most `MOST_EXAMPLES` of them.

    Raises
    ------
    UserError
        Where there is no object.
    """
    found = [r for r in measure.regionprops(examples) if r.area >= 4]
    if not found:
        raise UserError("The layer of examples is empty: mark at least one good object.")
    found = found[:: -(-len(found) // MOST_EXAMPLES)]
    shapes = np.array([shape_of(r.image) for r in found])
    values = descriptors_of(np.array([float(r.area) for r in found]), shapes)
    return tuple(tuple(row) for row in values.tolist())


@lru_cache(maxsize=16)  # asked for at every selection
def prior_of(examples: Shapes) -> ShapePrior:
    """Return the mean and spread of the shapes of at least one example."""
    values = np.array(examples)
    covariance = np.diag(TOLERANCE**2)
    if len(values) > 1:
        covariance = covariance + np.cov(values, rowvar=False)
    return ShapePrior(values.mean(axis=0), np.linalg.inv(covariance))


def closeness(values: Column, prior: ShapePrior) -> Column:
    """Return exp(-D^2 / 50) with the Mahalanobis distance D of each row of `values` (k, 4)."""
    delta = values - prior.mean
    squared = np.einsum("ki,ij,kj->k", delta, prior.precision, delta)
    return np.asarray(np.exp(-squared / _REACH))


class Measured:
    """Shapes of the masks of a store, each measured once and kept.

    Parameters
    ----------
    store : MaskStore
    """

    def __init__(self, store: MaskStore) -> None:
        self._store = store
        self._known: dict[int, tuple[float, float, float]] = {}

    def missing(self, ids: Ids) -> Ids:
        """Return those of `ids` that are not measured yet."""
        return np.array([i for i in ids.tolist() if i not in self._known], dtype=np.int64)

    def shape(self, ids: Ids) -> Column:
        """Return circularity, solidity and aspect ratio, shape (k, 3); see `shape_of`."""
        for i in ids.tolist():
            if i not in self._known:
                self._known[i] = shape_of(self._store.window(i))
        return np.array([self._known[i] for i in ids.tolist()]).reshape(-1, 3)

    def descriptors(self, ids: Ids) -> Column:
        """Return shape descriptors, shape (k, 4); see `descriptors_of`."""
        areas = self._store.areas(ids.tolist()).astype(np.float64)
        return descriptors_of(areas, self.shape(ids))

    def likeness(self, ids: Ids, examples: Shapes) -> Column:
        """Return how like the `examples` the masks are, shape (k,), 0 to 1; see `closeness`."""
        return closeness(self.descriptors(ids), prior_of(examples))
