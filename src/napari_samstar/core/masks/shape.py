"""Shape descriptors of masks, and their likeness to examples."""

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
"""Shape descriptors of objects, four numbers for each; see `descriptors_of`."""

TOLERANCE = np.array([0.15, 0.12, 0.06, 0.04])
"""Standard deviations that are added to those of the examples: log diameter, log aspect ratio,
circularity, solidity. About what an error of one pixel in the outline makes at 30 px."""

MAX_EXAMPLES = 30
"""Of more objects every second, third, ... is used, because each configuration stores them."""

_LIKENESS_SCALE = 50.0
"""Likeness exp(-D^2 / 50): 0.98 at D = 1, 0.61 at D = 5, 0.2 at D = 9. Wide, because SAM's outlines
of partly hidden objects deviate far more than those of the few examples: on synthetic rods half of
the correct masks have D > 5, and spheres of the same area have D > 7."""


def shape_of(window: Bool) -> tuple[float, float, float]:
    """Return circularity, solidity and aspect ratio of the mask in a bool `window` (h, w).

    Circularity is 4 pi a / P^2, at most 1, with the perimeter of Benkrid and Crookes as in
    scikit-image; solidity is a over the area of the convex hull of the pixels' corners; the aspect
    ratio is that of the ellipse with the same second moments. (0, 0, 1) for an empty mask.
    """
    rows, cols = np.nonzero(window)
    area = len(rows)
    if not area:
        return 0.0, 0.0, 1.0
    perimeter = float(measure.perimeter(np.pad(window, 1), 4))
    circularity = min(4 * np.pi * area / perimeter**2, 1.0) if perimeter else 1.0
    return circularity, min(area / _hull_area(window), 1.0), _aspect_ratio(rows, cols)


def _aspect_ratio(rows: NDArray[np.int64], cols: NDArray[np.int64]) -> float:
    """Return the ratio of the axes of the ellipse with the same second moments as the pixels."""
    # The second moment of a single pixel, a unit square, is 1/12.
    row_row, col_col = rows.var() + 1 / 12, cols.var() + 1 / 12
    row_col = float(((rows - rows.mean()) * (cols - cols.mean())).mean())
    # The squared axes are proportional to the eigenvalues of the covariance matrix.
    mean, half_gap = (row_row + col_col) / 2, float(np.hypot((row_row - col_col) / 2, row_col))
    return float(np.sqrt((mean + half_gap) / max(mean - half_gap, 1e-9)))


def _hull_area(window: Bool) -> float:
    """Return the area of the convex hull of the pixels' corners, px."""
    # Only the first and last pixel of each row can lie on the hull.
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
        Areas, px.
    shapes : ndarray of float64, shape (k, 3)
        Circularity, solidity and aspect ratio, see `shape_of`.
    """
    diameter = 2 * np.sqrt(np.maximum(areas, 1) / np.pi)
    return np.column_stack([np.log(diameter), np.log(shapes[:, 2]), shapes[:, 0], shapes[:, 1]])


@dataclass(frozen=True, eq=False)
class ShapePrior:
    """Normal distribution of the descriptors of examples.

    Attributes
    ----------
    mean : ndarray of float64, shape (4,)
    precision : ndarray of float64, shape (4, 4)
        Inverse of the covariance.
    """

    mean: Column
    precision: Column


def shapes_in(examples: NDArray[np.integer]) -> Shapes:
    """Return the descriptors of the objects of a label image (H, W), at most `MAX_EXAMPLES`.

    Raises
    ------
    UserError
        If there is no object of at least 4 px.
    """
    found = [r for r in measure.regionprops(examples) if r.area >= 4]
    if not found:
        raise UserError("The layer of examples is empty: mark at least one good object.")
    found = found[:: -(-len(found) // MAX_EXAMPLES)]
    shapes = np.array([shape_of(r.image) for r in found])
    values = descriptors_of(np.array([float(r.area) for r in found]), shapes)
    return tuple(tuple(row) for row in values.tolist())


@lru_cache(maxsize=16)  # needed at every selection
def prior_of(examples: Shapes) -> ShapePrior:
    """Return the distribution of the shapes of one or more examples."""
    values = np.array(examples)
    covariance = np.diag(TOLERANCE**2)
    if len(values) > 1:
        covariance = covariance + np.cov(values, rowvar=False)
    return ShapePrior(values.mean(axis=0), np.linalg.inv(covariance))


def likeness_to_prior(values: Column, prior: ShapePrior) -> Column:
    """Return exp(-D^2 / 50), shape (k,), D the Mahalanobis distance of each row of `values`.

    Parameters
    ----------
    values : ndarray of float64, shape (k, 4)
        See `descriptors_of`.
    prior : ShapePrior
    """
    delta = values - prior.mean
    squared = np.einsum("ki,ij,kj->k", delta, prior.precision, delta)
    return np.asarray(np.exp(-squared / _LIKENESS_SCALE))


class ShapeTable:
    """Shapes of the masks of a store; each mask is measured when it is first needed, and once.

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
        """Return the likeness of each mask to `examples`, (k,), 0 to 1; see `likeness_to_prior`."""
        return likeness_to_prior(self.descriptors(ids), prior_of(examples))
