"""Removal of small regions, with the results kept for each mask.

The result of `remove_small_regions` of segment_anything depends on its area threshold only through
the number of holes and islands below the threshold, so each mask has few distinct results. Regions
are 8-connected, as in segment_anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_samstar.core.masks.store import Bool, MaskStore, PackedMask


@dataclass(frozen=True)
class _Window:
    """A window of the image with the whole mask and a margin of background.

    The upper left pixel of `mask` is pixel (row, col) of the image.
    """

    mask: Bool
    row: int
    col: int


@dataclass
class _FilledMask:
    """A mask whose small holes are filled.

    Attributes
    ----------
    changed : bool
        Whether any hole was filled.
    window : _Window
    islands : ndarray of int64
        Areas of its regions, px, ascending.
    results : dict of int to int
        Id of the cleaned mask, by the number of islands below the threshold.
    """

    changed: bool
    window: _Window
    islands: NDArray[np.int64]
    results: dict[int, int] = field(default_factory=dict)


@dataclass
class _Mask:
    """Areas of a mask's holes, px, ascending, and the filled masks by the number of small holes."""

    holes: NDArray[np.int64]
    filled: dict[int, _FilledMask] = field(default_factory=dict)


class Cleaner:
    """Removes small regions of masks; a cleaned mask is added to the store with its own id.

    Parameters
    ----------
    store : MaskStore
    """

    def __init__(self, store: MaskStore) -> None:
        self._store = store
        self._masks: dict[int, _Mask] = {}

    def clean(self, mask_id: int, min_area: int) -> tuple[int, bool]:
        """Fill holes, then remove islands, smaller than `min_area` px.

        Returns
        -------
        int
            The id of the cleaned mask; `mask_id` itself where nothing was done.
        bool
            Whether segment_anything reports the mask as changed. True also for a single island
            below the threshold, although it is kept as it is.
        """
        mask = self._masks.get(mask_id)
        if mask is None:
            window = self._window(mask_id)
            mask = self._masks[mask_id] = _Mask(np.sort(self._hole_areas(window)[1]))
        n_holes = int(np.searchsorted(mask.holes, min_area))
        if n_holes not in mask.filled:
            mask.filled[n_holes] = self._fill_holes(mask_id, min_area)
        filled = mask.filled[n_holes]
        n_islands = int(np.searchsorted(filled.islands, min_area))
        if not filled.changed and not n_islands:
            return mask_id, False
        if n_islands not in filled.results:
            cleaned = _remove_islands(filled.window, min_area)
            packed = PackedMask.tight(cleaned.mask, cleaned.row, cleaned.col)
            filled.results[n_islands] = self._store.extend([packed])[0]
        return filled.results[n_islands], True

    def _window(self, mask_id: int, whole: bool = False) -> _Window:
        """Return the mask with a margin of one pixel, or in the whole image.

        The margin stands for all background outside the box, which is one region unless the mask
        reaches from left to right or from top to bottom of the image.
        """
        rows, cols = self._store.shape
        r0, c0, r1, c1 = self._store[mask_id].box
        if whole or (r0 == 0 and r1 == rows) or (c0 == 0 and c1 == cols) or r0 == r1:
            return _Window(self._store.dense(mask_id), 0, 0)
        top, left = max(r0 - 1, 0), max(c0 - 1, 0)
        mask = np.zeros((min(r1 + 1, rows) - top, min(c1 + 1, cols) - left), dtype=bool)
        mask[r0 - top : r1 - top, c0 - left : c1 - left] = self._store.window(mask_id)
        return _Window(mask, top, left)

    def _hole_areas(self, window: _Window) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return labels of the background's regions and their areas in the whole image, px."""
        labels, areas = _regions(~window.mask)
        rows, cols = self._store.shape
        outside = rows * cols - window.mask.size
        if outside:
            areas[_outer_label(window, labels) - 1] += outside
        return labels, areas

    def _fill_holes(self, mask_id: int, min_area: int) -> _FilledMask:
        """Fill the regions of the background below `min_area` px."""
        window = self._window(mask_id)
        labels, areas = self._hole_areas(window)
        small = areas < min_area
        cropped = window.mask.size < self._store.shape[0] * self._store.shape[1]
        if cropped and small[_outer_label(window, labels) - 1]:
            # The background outside the window is filled too.
            window = self._window(mask_id, whole=True)
            labels, areas = self._hole_areas(window)
            small = areas < min_area
        if small.any():
            fill = np.concatenate([[False], small])[labels]
            window = _Window(window.mask | fill, window.row, window.col)
        islands = np.sort(_regions(window.mask)[1])
        if len(islands) > 1 and islands[-1] == islands[-2]:
            # Which of two largest islands is kept depends on OpenCV's scan of the whole image.
            window = self._in_whole_image(window)
        return _FilledMask(bool(small.any()), window, islands)

    def _in_whole_image(self, window: _Window) -> _Window:
        mask = np.zeros(self._store.shape, dtype=bool)
        rows, cols = window.mask.shape
        mask[window.row : window.row + rows, window.col : window.col + cols] = window.mask
        return _Window(mask, 0, 0)


def _regions(mask: Bool) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return labels (0 where `mask` is False) and the areas of labels 1, 2, ... in px."""
    # The same labels as of cv2.connectedComponentsWithStats, which segment_anything uses, but
    # several times faster.
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return labels, np.bincount(labels.ravel())[1:]


def _outer_label(window: _Window, labels: NDArray[np.int32]) -> int:
    """Return the label of the background around the mask, which is one region."""
    return int(labels[-1, -1] if window.mask[0].any() else labels[0, 0])


def _remove_islands(window: _Window, min_area: int) -> _Window:
    """Remove islands below `min_area` px; where all are below it keep the largest."""
    labels, areas = _regions(window.mask)
    keep = areas >= min_area
    if not keep.any() and len(keep):
        keep[np.argmax(areas)] = True
    return _Window(np.concatenate([[False], keep])[labels], window.row, window.col)
