"""Two selections of one bank side by side: masks gained, lost and changed."""

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
"""Values of `Comparison.picture`, later ones on top."""

MATCH, ALIKE = 0.5, 0.95
"""IoU from which two masks are the same object, and from which its outline is the same."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """What happens to the masks on the way from one selection to another; ids in one store.

    Attributes
    ----------
    same, changed : ndarray of int64, shape (n, 2)
        (id before, id after) of the same object.
    lost, gained : ndarray of int64, shape (n,)
    """

    same: Ids
    changed: Ids
    lost: Ids
    gained: Ids

    @property
    def sentence(self) -> str:
        """The counts, for the user."""
        return (
            f"{len(self.gained)} gained, {len(self.lost)} lost, "
            f"{len(self.changed)} changed, {len(self.same)} the same"
        )

    def picture(self, store: MaskStore) -> NDArray[np.uint8]:
        """Return uint8 (H, W): 0 nothing, else `SAME`, `CHANGED`, `LOST` or `GAINED`."""
        out = np.zeros(store.shape, dtype=np.uint8)
        layers = ((SAME, self.same[:, 1]), (CHANGED, self.changed[:, 1]))
        for value, ids in (*layers, (LOST, self.lost), (GAINED, self.gained)):
            for i in ids.tolist():
                row, col, row1, col1 = store[i].box
                if row < row1:
                    out[row:row1, col:col1][store.window(i)] = value
        return out


def compare(store: MaskStore, before: Ids, after: Ids) -> Comparison:
    """Match two selections one to one, at the greatest total IoU of pairs that reach `MATCH`."""
    ious = _ious(store, before, after)
    rows, cols = optimize.linear_sum_assignment(np.where(ious >= MATCH, ious, 0), maximize=True)
    good = ious[rows, cols] >= MATCH
    rows, cols = rows[good], cols[good]
    pairs = np.stack([before[rows], after[cols]], axis=1).astype(np.int64)
    alike = ious[rows, cols] >= ALIKE
    return Comparison(
        same=pairs[alike],
        changed=pairs[~alike],
        lost=np.delete(before, rows),
        gained=np.delete(after, cols),
    )


def _ious(store: MaskStore, before: Ids, after: Ids) -> NDArray[np.float64]:
    """Return the IoU of each mask before (rows) with each after (columns)."""
    b, a = store.boxes(before.tolist()), store.boxes(after.tolist())
    meet = np.minimum(b[:, None, 2:], a[None, :, 2:]) > np.maximum(b[:, None, :2], a[None, :, :2])
    ious = (before[:, None] == after[None, :]).astype(float)
    for i, j in np.argwhere(meet.all(axis=2) & (ious == 0)).tolist():
        one, two = store[int(before[i])], store[int(after[j])]
        if min(one.area, two.area) < MATCH * max(one.area, two.area):
            continue  # cannot reach MATCH
        shared = one.bit_window.overlap(two.bit_window)
        ious[i, j] = shared / (one.area + two.area - shared)
    return np.asarray(ious)
