"""Synthetic masks, images and selections, for tests without SAM."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.selection import Selection
from napari_samstar.core.masks.store import Bool, MaskStore, PackedMask

if TYPE_CHECKING:
    from collections.abc import Sequence


def disc(shape: tuple[int, int], row: float, col: float, radius: float) -> Bool:
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    return np.asarray((rows - row) ** 2 + (cols - col) ** 2 <= radius**2)


def rectangle(shape: tuple[int, int], row0: int, col0: int, row1: int, col1: int) -> Bool:
    mask = np.zeros(shape, dtype=bool)
    mask[row0:row1, col0:col1] = True
    return mask


def gray_of(masks: Sequence[Bool], level: int = 170, ground: int = 60) -> NDArray[np.uint8]:
    """Return an RGB uint8 image (H, W, 3): `masks` at `level` on `ground`, with little noise."""
    rng = np.random.default_rng(0)
    image = rng.normal(ground, 3, masks[0].shape)
    for mask in masks:
        image[mask] = rng.normal(level, 3, int(mask.sum()))
    return np.repeat(np.clip(image, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def add(store: MaskStore, masks: Sequence[Bool]) -> NDArray[np.int64]:
    """Store whole-image masks and return their ids."""
    return np.array(store.extend([PackedMask.tight(m, 0, 0) for m in masks]), dtype=np.int64)


def selection(
    store: MaskStore,
    ids: Sequence[int] | NDArray[np.int64],
    probability: Sequence[float] | None = None,
) -> Selection:
    """Return a selection of `ids` with predicted IoU, stability and probability 1 unless given."""
    chosen = np.asarray(ids, dtype=np.int64)
    n = len(chosen)
    boxes = store.boxes(chosen.tolist())[:, [1, 0, 3, 2]]
    rows, cols = store.shape
    return Selection(
        config=AmgConfig(),
        ids=chosen,
        predicted_iou=np.ones(n, dtype=np.float32),
        stability=np.ones(n, dtype=np.float32),
        points=np.zeros((n, 2)),
        boxes=boxes,
        crop_boxes=np.tile([0, 0, cols, rows], (n, 1)),
        candidates=chosen,
        probability=np.ones(n, np.float32)
        if probability is None
        else np.asarray(probability, np.float32),
    )
