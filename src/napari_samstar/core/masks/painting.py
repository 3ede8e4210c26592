"""Label images of any size, painted window by window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_samstar.core.masks.store import MaskStore

Labels = NDArray[np.int32]

SIDE = 1024
"""Side of the windows in which a large label image is painted, px."""


@dataclass(frozen=True, eq=False)
class Painting:
    """A label image of masks; smaller masks are painted over larger ones.

    0 is background; labels are consecutive from 1, larger masks first. A mask that is completely
    hidden by others has no label.

    Attributes
    ----------
    store : MaskStore
    ids : tuple of int
        Of the masks, in the order in which they are painted.
    values : ndarray of int32, shape (n + 1,)
        The label of each mask, after the 0 of the background; 0 for a hidden one.
    boxes : ndarray of int64, shape (n, 4)
        (row0, col0, row1, col1), half open.
    """

    store: MaskStore
    ids: tuple[int, ...]
    values: NDArray[np.int32]
    boxes: NDArray[np.int64]

    @classmethod
    def of(cls, store: MaskStore, ids: NDArray[np.int64], on_top: Sequence[int] = ()) -> Painting:
        """Return the painting of masks `ids`, and of those `on_top` in the order given."""
        order = np.argsort(-store.areas(ids.tolist()), kind="stable")
        painted = (*ids[order].tolist(), *on_top)
        first = np.arange(len(painted) + 1, dtype=np.int32)
        draft = cls(store, painted, first, store.boxes(painted))
        visible = np.zeros(len(first), dtype=bool)
        for _, window in draft.windows():
            visible[np.unique(window)] = True
        visible[0] = False
        values = np.where(visible, np.cumsum(visible), 0).astype(np.int32)
        return cls(store, painted, values, draft.boxes)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.store.shape

    @property
    def n_objects(self) -> int:
        """Number of labels."""
        return int(self.values.max(initial=0))

    @property
    def keys(self) -> NDArray[np.int64]:
        """The mask of each label, int64 of shape (n_objects,): it stays when labels change."""
        shown = self.values[1:] > 0
        keys = np.zeros(self.n_objects, dtype=np.int64)
        keys[self.values[1:][shown] - 1] = np.array(self.ids, dtype=np.int64)[shown]
        return keys

    def window(self, row0: int, col0: int, row1: int, col1: int) -> Labels:
        """Return the labels of a window, half open, px."""
        found = np.zeros((row1 - row0, col1 - col0), dtype=np.int32)
        b = self.boxes
        near = (b[:, 0] < row1) & (b[:, 2] > row0) & (b[:, 1] < col1) & (b[:, 3] > col0)
        for k in np.flatnonzero(near).tolist():
            r0, c0, r1, c1 = b[k].tolist()
            top, left, bottom, right = max(r0, row0), max(c0, col0), min(r1, row1), min(c1, col1)
            mask = self.store.window(self.ids[k])[top - r0 : bottom - r0, left - c0 : right - c0]
            found[top - row0 : bottom - row0, left - col0 : right - col0][mask] = k + 1
        return np.asarray(self.values[found])

    def windows(self, side: int = SIDE) -> Iterator[tuple[tuple[int, int, int, int], Labels]]:
        """Yield (row0, col0, row1, col1) and labels of windows that fill the image, row by row."""
        rows, cols = self.shape
        for row in range(0, rows, side):
            for col in range(0, cols, side):
                box = row, col, min(row + side, rows), min(col + side, cols)
                yield box, self.window(*box)

    def thumbnail(self, step: int) -> Labels:
        """Return every `step`-th pixel, along rows and columns."""
        rows, cols = self.shape
        found = np.zeros((-(-rows // step), -(-cols // step)), dtype=np.int32)
        for (row0, col0, *_), window in self.windows():
            row, col = -(-row0 // step), -(-col0 // step)
            part = window[row * step - row0 :: step, col * step - col0 :: step]
            found[row : row + part.shape[0], col : col + part.shape[1]] = part
        return found

    def whole(self) -> Labels:
        """Return the labels of the whole image, shape (H, W)."""
        found = np.zeros(self.shape, dtype=np.int32)
        for (row0, col0, row1, col1), window in self.windows():
            found[row0:row1, col0:col1] = window
        return found
