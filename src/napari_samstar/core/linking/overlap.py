"""The objects of one plane, how those of two planes overlap, and which of them belong together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse import csgraph

from napari_samstar.core.errors import UserError

Labels = NDArray[np.int32]
Ids = NDArray[np.int64]
Floats = NDArray[np.float64]
Bool = NDArray[np.bool_]

Shift = tuple[int, int]
"""(rows, cols): pixel (r, c) of an earlier plane lies at (r + rows, c + cols) of the later one."""


@dataclass(frozen=True, eq=False)
class PlaneObjects:
    """The n objects of a plane, in an order that does not depend on their ids.

    Attributes
    ----------
    labels : ndarray of int32, shape (H, W)
        0 is background; 1 to n in the order in which rows are read, by an object's first pixel.
    areas : ndarray of int64, shape (n,)
        px.
    """

    labels: Labels
    areas: Ids

    @classmethod
    def of(cls, labels: NDArray[np.integer]) -> PlaneObjects:
        """Renumber a label image of shape (H, W).

        Raises
        ------
        UserError
            Where it is not a label image.
        """
        if labels.ndim != 2 or labels.dtype.kind not in "iu":
            raise UserError(
                f"A plane of labels has two axes and whole numbers, this one has {labels.ndim} "
                f"axes of {labels.dtype}: pass one label image for each plane."
            )
        inside = np.flatnonzero(labels)
        found = labels.ravel()[inside].astype(np.int64)
        if len(found) and found.min() < 0:
            raise UserError("Labels cannot be negative: use 0 for the background.")
        if found.max(initial=0) > labels.size:  # the counts below need memory for each id
            found = np.unique(found, return_inverse=True)[1]
        areas = np.bincount(found)
        used = np.flatnonzero(areas)
        first = np.zeros(len(areas), np.int64)
        first[found[::-1]] = inside[::-1]  # the last value that is written stays: the first pixel
        order = used[np.argsort(first[used])]
        rank = np.zeros(len(areas), np.int32)
        rank[order] = np.arange(1, len(order) + 1)
        renumbered = np.zeros(labels.size, np.int32)
        renumbered[inside] = rank[found]
        return cls(renumbered.reshape(labels.shape), areas[order].astype(np.int64))

    def __len__(self) -> int:
        return len(self.areas)

    @cached_property
    def windows(self) -> list[tuple[slice, slice]]:
        """The box of each object, as (rows, cols)."""
        return list(ndimage.find_objects(self.labels, max_label=len(self)))

    @cached_property
    def centroids(self) -> Floats:
        """(row, col) of each object, px, shape (n, 2)."""
        rows, cols = np.nonzero(self.labels)
        which = self.labels[rows, cols]
        sums = [np.bincount(which, weights=at, minlength=len(self) + 1)[1:] for at in (rows, cols)]
        return np.stack(sums, axis=1) / self.areas[:, None]


@dataclass(frozen=True, eq=False)
class Overlaps:
    """The k pairs of an object `before` and an object `after` that share pixels.

    Attributes
    ----------
    before, after : ndarray of int64, shape (k,)
        Positions of the objects in their planes, from 0.
    iou : ndarray of float64, shape (k,)
        Shared pixels over pixels of both.
    of_before, of_after : ndarray of float64, shape (k,)
        Shared pixels over pixels of the one object.
    """

    before: Ids
    after: Ids
    iou: Floats
    of_before: Floats
    of_after: Floats

    @classmethod
    def of(cls, before: PlaneObjects, after: PlaneObjects, shift: Shift = (0, 0)) -> Overlaps:
        """Count the pixels that objects share when `before` is moved by `shift`."""
        first, second = before.labels[_part(-shift[0], -shift[1])], after.labels[_part(*shift)]
        both = (first > 0) & (second > 0)
        width = len(after) + 1
        codes, shared = np.unique(first[both].astype(np.int64) * width + second[both],
                                  return_counts=True)  # fmt: skip
        i, j = codes // width - 1, codes % width - 1
        areas = before.areas[i], after.areas[j]
        iou = shared / (areas[0] + areas[1] - shared)
        return cls(i, j, iou, shared / areas[0], shared / areas[1])

    def only(self, chosen: Bool) -> Overlaps:
        """Return the pairs where `chosen`, bool of shape (k,), is True."""
        return Overlaps(
            self.before[chosen],
            self.after[chosen],
            self.iou[chosen],
            self.of_before[chosen],
            self.of_after[chosen],
        )


def _part(rows: int, cols: int) -> tuple[slice, slice]:
    """Return the part of a plane that is covered after the other plane moved by (rows, cols)."""
    return _side(rows), _side(cols)


def _side(shift: int) -> slice:
    return slice(shift, None) if shift >= 0 else slice(None, shift)


def one_to_one(before: Ids, after: Ids, scores: Floats) -> Ids:
    """Return which pairs to keep for the greatest sum of scores, each object in one pair at most.

    Parameters
    ----------
    before, after : ndarray of int64, shape (k,)
        The objects of each pair; no pair stands there twice.
    scores : ndarray of float64, shape (k,)
        From 0 to 1.

    Returns
    -------
    ndarray of int64, shape (m,)
        Positions of pairs, in increasing order.
    """
    if not len(before):
        return np.zeros(0, np.int64)
    rows, cols = (np.unique(side, return_inverse=True)[1] for side in (before, after))
    n, m, k = int(rows.max()) + 1, int(cols.max()) + 1, len(scores)
    # The matching has to be complete, so each object has a stand-in on the other side, with which
    # it is matched when it stays alone; stand-ins of a pair that is kept are matched too.
    alone = np.arange(n), np.arange(m)
    edges = (
        np.concatenate([rows, alone[0], n + alone[1], n + cols]),
        np.concatenate([cols, m + alone[0], alone[1], m + rows]),
    )
    costs = np.concatenate([2 - scores, np.full(n + m + k, 2.0)])  # 0 would be no edge
    graph = sparse.csr_array((costs, edges), shape=(n + m, n + m))
    _, partner = csgraph.min_weight_full_bipartite_matching(graph)
    return np.flatnonzero(partner[rows] == cols)
