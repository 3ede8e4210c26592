"""Compare two selections of one bank: masks gained, lost and changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

if TYPE_CHECKING:
    from napari_samstar.core.masks.store import MaskStore

Ids = NDArray[np.int64]

SAME, CHANGED, LOST, GAINED = 1, 2, 3, 4
"""Values of `Comparison.picture`; a larger value is painted over a smaller one."""

MATCH_IOU = 0.5
"""IoU from which two masks are the same object."""

SAME_IOU = 0.95
"""IoU from which a matched mask counts as unchanged."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """The difference between two selections; all ids are of one store.

    Attributes
    ----------
    same, changed : ndarray of int64, shape (n, 2)
        (id before, id after) of matched masks; `same` from an IoU of `SAME_IOU`.
    lost, gained : ndarray of int64, shape (n,)
        Ids of masks without a match, before and after.
    """

    same: Ids
    changed: Ids
    lost: Ids
    gained: Ids

    @property
    def sentence(self) -> str:
        """The number of masks of each kind, as a text for the user."""
        return (
            f"{len(self.gained)} gained, {len(self.lost)} lost, "
            f"{len(self.changed)} changed, {len(self.same)} the same"
        )

    def picture(self, store: MaskStore) -> NDArray[np.uint8]:
        """Return a label image, uint8 (H, W): `SAME`, `CHANGED`, `LOST` or `GAINED`, else 0."""
        out = np.zeros(store.shape, dtype=np.uint8)
        layers = ((SAME, self.same[:, 1]), (CHANGED, self.changed[:, 1]))
        for value, ids in (*layers, (LOST, self.lost), (GAINED, self.gained)):
            for i in ids.tolist():
                row, col, row1, col1 = store[i].box
                if row < row1:
                    out[row:row1, col:col1][store.window(i)] = value
        return out


def compare(store: MaskStore, before: Ids, after: Ids) -> Comparison:
    """Match two selections one to one, with the greatest total IoU of pairs above `MATCH_IOU`."""
    ious = _ious(store, before, after)
    rows, cols = optimize.linear_sum_assignment(np.where(ious >= MATCH_IOU, ious, 0), maximize=True)
    matched = ious[rows, cols] >= MATCH_IOU
    rows, cols = rows[matched], cols[matched]
    pairs = np.stack([before[rows], after[cols]], axis=1).astype(np.int64)
    same = ious[rows, cols] >= SAME_IOU
    return Comparison(
        same=pairs[same],
        changed=pairs[~same],
        lost=np.delete(before, rows),
        gained=np.delete(after, cols),
    )


def _ious(store: MaskStore, before: Ids, after: Ids) -> NDArray[np.float64]:
    """Return the IoU of each mask before (rows) and after (columns), 0 where below `MATCH_IOU`."""
    b, a = store.boxes(before.tolist()), store.boxes(after.tolist())
    meet = np.minimum(b[:, None, 2:], a[None, :, 2:]) > np.maximum(b[:, None, :2], a[None, :, :2])
    ious = (before[:, None] == after[None, :]).astype(float)
    for i, j in np.argwhere(meet.all(axis=2) & (ious == 0)).tolist():
        one, two = store[int(before[i])], store[int(after[j])]
        if min(one.area, two.area) < MATCH_IOU * max(one.area, two.area):
            continue  # the IoU is at most the ratio of the areas
        shared = one.bit_window.overlap(two.bit_window)
        ious[i, j] = shared / (one.area + two.area - shared)
    return np.asarray(ious)
