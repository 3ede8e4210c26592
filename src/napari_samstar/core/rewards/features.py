"""Features of masks and of pairs of masks, each measured once and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from napari_samstar.core.masks.shape import ShapeTable
from napari_samstar.core.masks.store import BitWindow, Bool, Words, canvas_of, pack_window

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_samstar.core.cues.image_cues import ImageCues
    from napari_samstar.core.masks.shape import Shapes
    from napari_samstar.core.masks.store import MaskStore

Ids = NDArray[np.int64]
Column = NDArray[np.float64]

CONTACT_DISTANCE = 2
"""A contour pixel of a mask touches another mask within this city-block distance, px."""

REGION_INSIDE = 0.9
"""Share of a foreground region inside a mask from which the mask contains the region."""

REGION_SHARE = 0.1
"""Least share of the mask's area that a region must have; smaller regions count as specks."""

BATCH_SIZE = 256
"""Number of larger masks compared with a smaller one at the same time; bounds the memory."""


class Features:
    """Features of the masks of a store, and of pairs of them, on one image.

    Every value is measured when it is first needed and kept, which is safe because the mask of an
    id never changes.

    Parameters
    ----------
    store : MaskStore
    cues : ImageCues
        Of the same image.
    shapes : ShapeTable, optional
        Of the same store; a new one if not given.
    """

    def __init__(self, store: MaskStore, cues: ImageCues, shapes: ShapeTable | None = None) -> None:
        self.store = store
        self._shapes = shapes or ShapeTable(store)
        self.cues = cues
        self.foreground, self.edges = cues.canvases()
        self.edge_share = float(cues.edges.mean())
        self.n_edges = cues.n_edges
        self.image_variance = float(cues.gray.var())
        self._columns: dict[str, dict[int, float]] = {}
        self._contours: dict[int, BitWindow] = {}
        self._dilated: dict[int, BitWindow] = {}
        self._pair_keys = np.empty(0, dtype=np.int64)
        self._pair_values = np.empty((0, 3), dtype=np.int64)
        self._large: dict[float, Words] = {}

    def large_foreground(self, diameter: float) -> Words:
        """Return the foreground components above an equivalent diameter, px, as a canvas."""
        if diameter not in self._large:
            least = np.pi * diameter**2 / 4
            labels = np.flatnonzero(self.cues.component_areas > least) + 1
            self._large[diameter] = canvas_of(np.isin(self.cues.components, labels))
        return self._large[diameter]

    # --- features of masks --------------------------------------------------------------------

    def area(self, ids: Ids) -> Column:
        """Return areas, px, shape (k,)."""
        return self.store.areas(ids.tolist()).astype(np.float64)

    def diameter(self, ids: Ids) -> Column:
        """Return equivalent diameters 2 sqrt(area / pi), px, shape (k,)."""
        return np.asarray(2 * np.sqrt(self.area(ids) / np.pi))

    def contour_length(self, ids: Ids) -> Column:
        """Return the number of contour pixels, in the mask and 4-adjacent to its outside, (k,)."""
        return self._column("contour_length", ids, lambda i: self._contour(i).area)

    def on_edge(self, ids: Ids) -> Column:
        """Return the share of contour pixels that lie on an intensity edge, shape (k,)."""
        return self._column("on_edge", ids, self._on_edge)

    def regions(self, ids: Ids) -> Column:
        """Return the number of foreground regions that each mask contains, shape (k,).

        A region counts if at least `REGION_INSIDE` of it lies in the mask and this part is at
        least `REGION_SHARE` of the mask.
        """
        return self._column("regions", ids, self._count_regions)

    def contrast(self, ids: Ids) -> Column:
        """Return D / (D + S), shape (k,); see the reward `contrast`."""
        return self._column("contrast", ids, self._contrast)

    def variance(self, ids: Ids) -> Column:
        """Return the variance of the intensity (0 to 1) within each mask, shape (k,)."""
        return self._column("variance", ids, self._variance)

    def shape(self, ids: Ids) -> Column:
        """Return circularity, solidity and aspect ratio, shape (k, 3); see `shape.shape_of`."""
        return self._shapes.shape(ids)

    def likeness(self, ids: Ids, examples: Shapes) -> Column:
        """Return the likeness of each mask to `examples`, shape (k,); see `ShapeTable.likeness`."""
        return self._shapes.likeness(ids, examples)

    # --- features of pairs --------------------------------------------------------------------

    def pairs(self, ids: Ids) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the pairs of masks that may touch, by their boxes, and their common pixels.

        Returns
        -------
        index : ndarray of int64, shape (p, 2)
            Positions in `ids`; the first of each pair is the smaller mask.
        shared : ndarray of int64, shape (p, 3)
            Number of pixels in both masks; of contour pixels of the smaller mask within
            `CONTACT_DISTANCE` of the other; of those contour pixels on an intensity edge.
        """
        index = _neighbouring_pairs(self.store.boxes(ids.tolist()), self.store.areas(ids.tolist()))
        keys = (ids[index[:, 0]] << 32) | ids[index[:, 1]]
        self._measure_pairs(self._unknown_pairs(keys))
        return index, self._pair_values[np.searchsorted(self._pair_keys, keys)]

    def _unknown_pairs(self, keys: Ids) -> Ids:
        """Return the keys that are not measured yet, ascending."""
        known = self._pair_keys
        if not len(known):
            return np.unique(keys)
        place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        return np.unique(keys[known[place] != keys])

    def _measure_pairs(self, keys: Ids) -> None:
        """Measure and keep pairs, given as ascending keys: small id << 32 | large id."""
        if not len(keys):
            return
        small, first = np.unique(keys >> 32, return_index=True)
        large = np.split(keys & 0xFFFFFFFF, first[1:])
        new = [
            self._count_shared(s, batch)
            for s, larges in zip(small.tolist(), large, strict=True)
            for batch in np.split(larges, range(BATCH_SIZE, len(larges), BATCH_SIZE))
        ]
        all_keys = np.concatenate([self._pair_keys, keys])
        order = np.argsort(all_keys, kind="stable")
        self._pair_keys = all_keys[order]
        self._pair_values = np.concatenate([self._pair_values, *new])[order]

    def _count_shared(self, small: int, large: Ids) -> NDArray[np.int64]:
        """Return the common pixels of a mask and each of n larger ones, shape (n, 3)."""
        mask, contour = self.store[small].bit_window, self._contour(small)
        both = _align(mask, [self.store[i].bit_window for i in large.tolist()]) & mask.bits
        contact = _align(contour, [self._dilate(i) for i in large.tolist()]) & contour.bits
        parts = (both, contact, contact & contour.crop(self.edges))
        counts = [np.bitwise_count(p).sum(axis=(1, 2), dtype=np.int64) for p in parts]
        return np.stack(counts, axis=1)

    # --- measurement of one mask --------------------------------------------------------------

    def _column(self, name: str, ids: Ids, measure: Callable[[int], float]) -> Column:
        known = self._columns.setdefault(name, {})
        values = np.empty(len(ids))
        for k, i in enumerate(ids.tolist()):
            if i not in known:
                known[i] = measure(i)
            values[k] = known[i]
        return values

    def _on_edge(self, mask_id: int) -> float:
        contour = self._contour(mask_id)
        return contour.overlap_on(self.edges) / contour.area if contour.area else 0.0

    def _count_regions(self, mask_id: int) -> float:
        row, col, row1, col1 = self.store[mask_id].box
        inside = self.cues.components[row:row1, col:col1][self.store.window(mask_id)]
        shared = np.bincount(inside)[1:]
        whole = shared >= REGION_INSIDE * self.cues.component_areas[: len(shared)]
        return float((whole & (shared >= REGION_SHARE * self.store[mask_id].area)).sum())

    def _contrast(self, mask_id: int) -> float:
        width = int(np.clip(round(0.4 * np.sqrt(self.store[mask_id].area / np.pi)), 2, 8))
        window, row, col = self._padded_window(mask_id, width + 1)
        if not window.any():
            return 0.0
        # The first pixel around the mask is left out, because it is blurred.
        near = _dilate(window, 1)
        ring = _dilate(near, width) & ~near
        if not ring.any():
            return 0.0
        h, w = window.shape
        gray = self.cues.gray[row : row + h, col : col + w]
        inside, outside = gray[window], gray[ring]
        difference = abs(float(inside.mean()) - float(outside.mean()))
        pooled = float(np.sqrt((inside.var() + outside.var()) / 2))
        return difference / (difference + max(pooled, 0.01))

    def _variance(self, mask_id: int) -> float:
        row, col, row1, col1 = self.store[mask_id].box
        values = self.cues.gray[row:row1, col:col1][self.store.window(mask_id)]
        return float(values.var()) if len(values) else 0.0

    def _contour(self, mask_id: int) -> BitWindow:
        if mask_id not in self._contours:
            window, row, col = self._padded_window(mask_id, 1)
            self._contours[mask_id] = pack_window(window & ~_erode(window), row, col)
        return self._contours[mask_id]

    def _dilate(self, mask_id: int) -> BitWindow:
        if mask_id not in self._dilated:
            window, row, col = self._padded_window(mask_id, CONTACT_DISTANCE)
            self._dilated[mask_id] = pack_window(_dilate(window, CONTACT_DISTANCE), row, col)
        return self._dilated[mask_id]

    def _padded_window(self, mask_id: int, margin: int) -> tuple[Bool, int, int]:
        """Return the mask in its box with a margin, and the row and column of the upper left pixel.

        The margin ends at the image's border, so that no contour runs along the border.
        """
        rows, cols = self.store.shape
        r0, c0, r1, c1 = self.store[mask_id].box
        top, left = max(r0 - margin, 0), max(c0 - margin, 0)
        window = np.zeros((min(r1 + margin, rows) - top, min(c1 + margin, cols) - left), dtype=bool)
        window[r0 - top : r1 - top, c0 - left : c1 - left] = self.store.window(mask_id)
        return window, top, left

    def union(self, ids: Ids) -> Words:
        """Return the union of masks as a canvas; see `MaskStore.union`."""
        return self.store.union(ids.tolist())


def _erode(window: Bool) -> Bool:
    """Return the pixels whose 4 neighbours are set too; outside of the window counts as set."""
    inner = window.copy()
    inner[1:] &= window[:-1]
    inner[:-1] &= window[1:]
    inner[:, 1:] &= window[:, :-1]
    inner[:, :-1] &= window[:, 1:]
    return inner


def _dilate(window: Bool, distance: int) -> Bool:
    """Return the window dilated by `distance` px, city-block."""
    if distance > CONTACT_DISTANCE:
        return np.asarray(ndi.binary_dilation(window, iterations=distance))
    # Faster than scipy for small distances.
    for _ in range(distance):
        window = ~_erode(~window)
    return window


def _neighbouring_pairs(boxes: NDArray[np.int64], areas: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return pairs (smaller, larger) of positions of boxes within `CONTACT_DISTANCE`, (p, 2)."""
    r0, c0, r1, c1 = boxes.T
    apart = (r0[:, None] >= r1 + CONTACT_DISTANCE) | (c0[:, None] >= c1 + CONTACT_DISTANCE)
    first, second = np.nonzero(np.triu(~(apart | apart.T), k=1))
    swap = areas[first] > areas[second]
    return np.stack([np.where(swap, second, first), np.where(swap, first, second)], axis=1)


def _align(bit_window: BitWindow, others: Sequence[BitWindow]) -> Words:
    """Return the bits of n `others` inside the window of `bit_window`, shape (n, rows, words)."""
    rows, words = bit_window.bits.shape
    found = np.zeros((len(others), rows, words), dtype=np.uint64)
    for k, other in enumerate(others):
        r, w = other.row - bit_window.row, other.word - bit_window.word
        h, n = other.bits.shape
        r0, r1, w0, w1 = max(r, 0), min(r + h, rows), max(w, 0), min(w + n, words)
        if r0 < r1 and w0 < w1:
            found[k, r0:r1, w0:w1] = other.bits[r0 - r : r1 - r, w0 - w : w1 - w]
    return found
