"""Objects that the user keeps against the settings, as a recipe remembers them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from napari_samstar.core.errors import UserError
from napari_samstar.core.masks.store import Bool, MaskStore, PackedMask

PinnedMask: TypeAlias = dict[str, Any]
"""A mask as JSON: {"box": [row0, col0, row1, col1], "counts": [...]}, run lengths of the window
inside the box, row by row, starting with background."""


def describe(store: MaskStore, ids: Sequence[int]) -> tuple[PinnedMask, ...]:
    """Return masks of `store` in a form that needs neither the store nor SAM."""
    return tuple({"box": list(store[i].box), "counts": _run_lengths(store.window(i))} for i in ids)


def restore(store: MaskStore, pinned: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
    """Add described masks to `store` and return their ids; UserError where one is damaged."""
    return tuple(store.extend([_packed(store, entry) for entry in pinned]))


def _packed(store: MaskStore, entry: Mapping[str, Any]) -> PackedMask:
    try:
        row0, col0, row1, col1 = (int(v) for v in entry["box"])
        counts = [int(n) for n in entry["counts"]]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"A rescued object of the recipe is damaged ({error}).") from error
    rows, cols = store.shape
    size = (row1 - row0) * (col1 - col0)
    inside = 0 <= row0 < row1 <= rows and 0 <= col0 < col1 <= cols
    if not inside or min(counts, default=-1) < 0 or sum(counts) != size:
        raise UserError("A rescued object of the recipe does not fit the image: write it again.")
    values = np.arange(len(counts)) % 2 == 1
    window = np.repeat(values, counts).reshape(row1 - row0, col1 - col0)
    return PackedMask.tight(window, row0, col0)


def _run_lengths(window: Bool) -> list[int]:
    flat = window.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    return [0, *counts] if flat.size and flat[0] else counts
