"""Small-region removal, with the outcomes remembered per mask.

What `remove_small_regions` of segment_anything does to a mask depends on its area threshold only
through *which* holes and islands lie below it, so each mask has few distinct outcomes. Regions
are 8-connected, as upstream's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_samstar.core.masks.store import Bool, MaskStore, PackedMask


@dataclass(frozen=True)
class _Framed:
    """A part of the image that holds a whole mask and a rim of background around it."""

    mask: Bool
    row: int
    col: int


@dataclass
class _Filled:
    """A mask with its small holes filled, and the areas of its islands, ascending."""

    changed: bool
    framed: _Framed
    islands: NDArray[np.int64]
    outcomes: dict[int, int] = field(default_factory=dict)


@dataclass
class _Known:
    holes: NDArray[np.int64]
    filled: dict[int, _Filled] = field(default_factory=dict)


class Cleaner:
    """Cleans masks of a store; a cleaned copy joins the store under an id of its own."""

    def __init__(self, store: MaskStore) -> None:
        self._store = store
        self._known: dict[int, _Known] = {}

    def clean(self, mask_id: int, min_area: int) -> tuple[int, bool]:
        """Fill holes, then remove islands, smaller than `min_area` px.

        Returns
        -------
        int
            The id of the cleaned mask; `mask_id` itself where nothing was done.
        bool
            Whether upstream reports the mask as changed. True also for a lone island below the
            threshold, which upstream keeps as it is.
        """
        known = self._known.get(mask_id)
        if known is None:
            framed = self._framed(mask_id)
            known = self._known[mask_id] = _Known(np.sort(self._hole_areas(framed)[1]))
        n_holes = int(np.searchsorted(known.holes, min_area))
        if n_holes not in known.filled:
            known.filled[n_holes] = self._fill(mask_id, min_area)
        filled = known.filled[n_holes]
        n_islands = int(np.searchsorted(filled.islands, min_area))
        if not filled.changed and not n_islands:
            return mask_id, False
        if n_islands not in filled.outcomes:
            cleaned = _drop_islands(filled.framed, min_area)
            packed = PackedMask.tight(cleaned.mask, cleaned.row, cleaned.col)
            filled.outcomes[n_islands] = self._store.extend([packed])[0]
        return filled.outcomes[n_islands], True

    def _framed(self, mask_id: int, whole: bool = False) -> _Framed:
        """Return the mask with a rim of one pixel, or in the whole image where it cuts that apart.

        A mask that reaches neither both left and right nor both top and bottom leaves everything
        beyond its box connected, so that a rim stands for all of it.
        """
        rows, cols = self._store.shape
        r0, c0, r1, c1 = self._store[mask_id].box
        if whole or (r0 == 0 and r1 == rows) or (c0 == 0 and c1 == cols) or r0 == r1:
            return _Framed(self._store.dense(mask_id), 0, 0)
        top, left = max(r0 - 1, 0), max(c0 - 1, 0)
        mask = np.zeros((min(r1 + 1, rows) - top, min(c1 + 1, cols) - left), dtype=bool)
        mask[r0 - top : r1 - top, c0 - left : c1 - left] = self._store.window(mask_id)
        return _Framed(mask, top, left)

    def _hole_areas(self, framed: _Framed) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return labels of the background's regions and their areas in the whole image, px."""
        labels, areas = _regions(~framed.mask)
        rows, cols = self._store.shape
        beyond = rows * cols - framed.mask.size
        if beyond:
            areas[_rim_label(framed, labels) - 1] += beyond
        return labels, areas

    def _fill(self, mask_id: int, min_area: int) -> _Filled:
        framed = self._framed(mask_id)
        labels, areas = self._hole_areas(framed)
        small = areas < min_area
        beyond = framed.mask.size < self._store.shape[0] * self._store.shape[1]
        if beyond and small[_rim_label(framed, labels) - 1]:
            framed = self._framed(mask_id, whole=True)
            labels, areas = self._hole_areas(framed)
            small = areas < min_area
        if small.any():
            fill = np.concatenate([[False], small])[labels]
            framed = _Framed(framed.mask | fill, framed.row, framed.col)
        islands = np.sort(_regions(framed.mask)[1])
        if len(islands) > 1 and islands[-1] == islands[-2]:
            # Which of two largest islands is kept depends on OpenCV's scan of the whole image.
            framed = self._whole(framed)
        return _Filled(bool(small.any()), framed, islands)

    def _whole(self, framed: _Framed) -> _Framed:
        mask = np.zeros(self._store.shape, dtype=bool)
        rows, cols = framed.mask.shape
        mask[framed.row : framed.row + rows, framed.col : framed.col + cols] = framed.mask
        return _Framed(mask, 0, 0)


def _regions(mask: Bool) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return labels (0 where `mask` is False) and the areas of labels 1, 2, ... in px."""
    # Labels as connectedComponentsWithStats gives upstream, several times as fast.
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return labels, np.bincount(labels.ravel())[1:]


def _rim_label(framed: _Framed, labels: NDArray[np.int32]) -> int:
    """Return the label of the background on the rim; all of the rim is one region."""
    return int(labels[-1, -1] if framed.mask[0].any() else labels[0, 0])


def _drop_islands(framed: _Framed, min_area: int) -> _Framed:
    """Remove islands below `min_area` px; where all are below it keep the largest."""
    labels, areas = _regions(framed.mask)
    keep = areas >= min_area
    if not keep.any() and len(keep):
        keep[np.argmax(areas)] = True
    return _Framed(np.concatenate([[False], keep])[labels], framed.row, framed.col)
