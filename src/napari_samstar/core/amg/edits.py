"""What the user changed by hand about the objects of an image, and how a recipe remembers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_samstar.core.errors import UserError
from napari_samstar.core.masks.store import Bool, MaskStore, PackedMask

DROPPED_IOU = 0.5
"""A candidate this much like a deleted object is the same object, whatever the settings."""


@dataclass(frozen=True)
class Edits:
    """Objects that the settings do not decide about.

    Attributes
    ----------
    pinned : tuple of int
        Ids of masks that are kept and painted on top: kept by hand, locked, corrected, drawn.
    dropped : tuple of int
        Ids of masks that are left out: deleted by hand, or replaced by a pinned one.
    """

    pinned: tuple[int, ...] = ()
    dropped: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.pinned or self.dropped)

    def replaced(self, old: Sequence[int], new: Sequence[int]) -> Edits:
        """Return the edits after objects `old` were replaced by masks `new`; either may be empty.

        Dropped masks that lie under a new one stay dropped.
        """
        kept = tuple(i for i in self.pinned if i not in old)
        gone = tuple(i for i in old if i not in self.pinned and i not in self.dropped)
        return Edits((*kept, *new), (*self.dropped, *gone))

    def left(self, store: MaskStore, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those of the selected masks `ids` that are neither dropped nor pinned as well."""
        if not self:
            return ids
        out = {*self.pinned, *self.dropped}
        dropped = [i for i in self.dropped if store[i].area]
        kept = [
            i not in out and not any(_iou(store, i, j) > DROPPED_IOU for j in dropped)
            for i in ids.tolist()
        ]
        return np.asarray(ids[np.array(kept, dtype=bool)])


def _iou(store: MaskStore, i: int, j: int) -> float:
    both = store.overlap(i, j)
    return both / (store[i].area + store[j].area - both) if both else 0.0


PinnedMask: TypeAlias = dict[str, Any]
"""A mask as JSON: {"box": [row0, col0, row1, col1], "counts": [...]}, run lengths of the window
inside the box, row by row, starting with background."""


def describe(store: MaskStore, ids: Sequence[int]) -> tuple[PinnedMask, ...]:
    """Return masks of `store` in a form that needs neither the store nor SAM."""
    return tuple(described(store.window(i), *store[i].box[:2]) for i in ids)


def described(window: Bool, row: int, col: int) -> PinnedMask:
    """Return a mask, bool of shape (h, w) with its first pixel at (row, col), in that form."""
    rows, cols = window.shape
    box = [row, col, row + rows, col + cols]
    return {"box": [int(v) for v in box], "counts": _run_lengths(window)}


def restore(store: MaskStore, pinned: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
    """Add described masks to `store` and return their ids; UserError where one is damaged."""
    return tuple(store.extend([_packed(store, entry) for entry in pinned]))


def _packed(store: MaskStore, entry: Mapping[str, Any]) -> PackedMask:
    try:
        row0, col0, row1, col1 = (int(v) for v in entry["box"])
        counts = [int(n) for n in entry["counts"]]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"An object edited by hand, in the recipe, is damaged ({error})."
        ) from error
    rows, cols = store.shape
    size = (row1 - row0) * (col1 - col0)
    inside = 0 <= row0 < row1 <= rows and 0 <= col0 < col1 <= cols
    if not inside or min(counts, default=-1) < 0 or sum(counts) != size:
        raise UserError(
            "An object edited by hand, in the recipe, does not fit the image: write it again."
        )
    values = np.arange(len(counts)) % 2 == 1
    window = np.repeat(values, counts).reshape(row1 - row0, col1 - col0)
    return PackedMask.tight(window, row0, col0)


def _run_lengths(window: Bool) -> list[int]:
    flat = window.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    return [0, *counts] if flat.size and flat[0] else counts
