"""Objects of overlapping tiles become objects of the image.

1. Objects that no tile edge cuts are taken as they are; of those that two tiles found, one.
2. A piece that is cut by its tile's edge is dropped where it is part of such a whole object.
3. Pieces that are left belong to objects that are cut in every tile: two of them are joined where
   they agree in the overlap of their tiles.
4. A piece that none agrees with is kept as it is where it reaches the core of its tile, unless
   objects of other tiles cover most of it.

Matching is by IoU, not by touching: neighbours that touch at a seam stay apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_samstar.core.masks.store import PackedMask

if TYPE_CHECKING:
    from napari_samstar.core.masks.store import Bool, MaskStore

MIN_IOU = 0.5
"""Masks of two tiles are the same object above this."""

_Box = tuple[int, int, int, int]  # (row0, col0, row1, col1), half open, px of the image


@dataclass(frozen=True, eq=False)
class TileMasks:
    """The masks that are kept in all tiles, n of them, and where they come from.

    Attributes
    ----------
    store : MaskStore
    ids : ndarray of int64, shape (n,)
    tiles, cores : ndarray of int64, shape (n, 4)
        The mask's tile and that tile's core, (x0, y0, x1, y1), px of the image.
    scores : ndarray of float, shape (n,)
        The higher one is kept of two masks of the same object.
    margin : int
        A mask is cut when it comes closer than this to an edge of its tile, px.
    """

    store: MaskStore
    ids: NDArray[np.int64]
    tiles: NDArray[np.int64]
    cores: NDArray[np.int64]
    scores: NDArray[np.float64]
    margin: int

    def boxes(self) -> NDArray[np.int64]:
        """Return the masks' boxes (n, 4): (row0, col0, row1, col1), half open."""
        return self.store.boxes(self.ids.tolist())

    def is_cut(self) -> NDArray[np.bool_]:
        """Return which masks an edge of their tile cuts, other than the image's, shape (n,)."""
        boxes, (rows, cols) = self.boxes(), self.store.shape
        x0, y0, x1, y1 = self.tiles.T
        near = (boxes[:, 0] - y0 < self.margin) & (y0 > 0)
        near |= (boxes[:, 1] - x0 < self.margin) & (x0 > 0)
        near |= (y1 - boxes[:, 2] < self.margin) & (y1 < rows)
        near |= (x1 - boxes[:, 3] < self.margin) & (x1 < cols)
        return np.asarray(near)

    def in_core(self) -> NDArray[np.bool_]:
        """Return which masks have the middle of their box in the core of their tile, (n,)."""
        boxes = self.boxes()
        row, col = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
        x0, y0, x1, y1 = self.cores.T
        return np.asarray((row >= y0) & (row < y1) & (col >= x0) & (col < x1))

    def reaches_core(self) -> NDArray[np.bool_]:
        """Return which masks have a box that overlaps the core of their tile, (n,)."""
        row0, col0, row1, col1 = self.boxes().T
        x0, y0, x1, y1 = self.cores.T
        return np.asarray((row0 < y1) & (y0 < row1) & (col0 < x1) & (x0 < col1))


def stitch(masks: TileMasks) -> list[tuple[int, ...]]:
    """Return the objects of the image, each as the positions of the masks it is made of.

    The outcome does not depend on the order of the masks, only on what they are.

    Returns
    -------
    list of tuple of int
        In the order of each object's first mask. One position: the mask as it is. Several: their
        union.
    """
    if not len(masks.ids):
        return []
    boxes, cut, inside = masks.boxes(), masks.is_cut(), masks.in_core()
    pixels = _Pixels(masks, boxes)
    # Whole objects: those in the core of their tile first, then by score.
    order = np.lexsort((*boxes.T, -masks.scores, ~inside))
    taken: list[int] = []
    index = _BoxIndex(boxes)
    for k in order[~cut[order]].tolist():
        if not any(pixels.iou(k, j) > MIN_IOU for j in index.near(k) if pixels.strangers(k, j)):
            taken.append(k)
            index.add(k)
    # Pieces of whole objects, as far as their tile shows them, are known already.
    left = [
        k
        for k in order[cut[order]].tolist()
        if not any(
            pixels.iou_within(k, j, pixels.tile(k)) > MIN_IOU
            for j in index.near(k)
            if pixels.strangers(k, j)
        )
    ]
    joined = _joined(left, pixels, boxes)
    groups = [(k,) for k in taken] + [group for group in joined if len(group) > 1]
    found = _BoxIndex(boxes)
    for k in (k for group in groups for k in group):
        found.add(k)
    # A piece that no other tile confirms is all that is known of its object. One outside the core
    # is a sliver: other tiles see far more of what is there.
    reaches_core = masks.reaches_core()
    for k in (group[0] for group in joined if len(group) == 1 and reaches_core[group[0]]):
        others = [int(masks.ids[j]) for j in found.near(k) if pixels.strangers(k, j)]
        if share_covered(masks.store, int(masks.ids[k]), others) <= MIN_IOU:
            groups.append((k,))
    return sorted(groups)


def union(store: MaskStore, ids: Sequence[int]) -> PackedMask:
    """Return the union of masks of a store."""
    boxes = store.boxes(ids)
    row0, col0 = boxes[:, :2].min(axis=0).tolist()
    row1, col1 = boxes[:, 2:].max(axis=0).tolist()
    window = np.zeros((row1 - row0, col1 - col0), dtype=np.bool_)
    for mask_id, (r0, c0, r1, c1) in zip(ids, boxes.tolist(), strict=True):
        part = window[r0 - row0 : r1 - row0, c0 - col0 : c1 - col0]
        np.logical_or(part, store.window(mask_id), out=part)
    return PackedMask.of(window, row0, col0)


def share_covered(store: MaskStore, mask_id: int, others: Iterable[int]) -> float:
    """Return the share of a mask's pixels that other masks of a store cover together."""
    row0, col0, row1, col1 = store[mask_id].box
    free = store.window(mask_id).copy()
    for other in others:
        top, left, _, _ = store[other].box
        shared = _intersection((row0, col0, row1, col1), store[other].box)
        if shared is not None:
            r0, c0, r1, c1 = shared
            window = store.window(other)[r0 - top : r1 - top, c0 - left : c1 - left]
            free[r0 - row0 : r1 - row0, c0 - col0 : c1 - col0] &= ~window
    return 1 - int(np.count_nonzero(free)) / max(store[mask_id].area, 1)


def _joined(left: list[int], pixels: _Pixels, boxes: NDArray[np.int64]) -> list[tuple[int, ...]]:
    """Group pieces that agree in the overlap of their tiles."""
    index = _BoxIndex(boxes)
    parent = {k: k for k in left}

    def root(k: int) -> int:
        while parent[k] != k:
            parent[k] = parent[parent[k]]
            k = parent[k]
        return k

    for k in left:
        for j in index.near(k):
            if not pixels.strangers(k, j) or root(k) == root(j):
                continue
            shared = _intersection(pixels.tile(k), pixels.tile(j))
            if shared is not None and pixels.iou_within(k, j, shared) > MIN_IOU:
                parent[root(k)] = root(j)
        index.add(k)
    groups: dict[int, list[int]] = defaultdict(list)
    for k in left:
        groups[root(k)].append(k)
    return [tuple(sorted(group)) for group in groups.values()]


class _Pixels:
    """Overlaps of the masks, by their positions."""

    def __init__(self, masks: TileMasks, boxes: NDArray[np.int64]) -> None:
        self._store, self._ids = masks.store, masks.ids.tolist()
        self._boxes: list[list[int]] = boxes.tolist()
        self._tiles: list[tuple[int, int, int, int]] = [
            (y0, x0, y1, x1) for x0, y0, x1, y1 in masks.tiles.tolist()
        ]

    def tile(self, k: int) -> _Box:
        """Return the tile of a mask."""
        return self._tiles[k]

    def strangers(self, k: int, j: int) -> bool:
        """Return whether two masks come from different tiles."""
        return self._tiles[k] != self._tiles[j]

    def iou(self, k: int, j: int) -> float:
        """Return the IoU of two masks."""
        one, other = self._store[self._ids[k]], self._store[self._ids[j]]
        least, most = sorted((one.area, other.area))
        if least <= MIN_IOU * most:  # the IoU cannot be higher than that
            return 0.0
        both = self._store.overlap(self._ids[k], self._ids[j])
        return both / max(one.area + other.area - both, 1)

    def iou_within(self, k: int, j: int, box: _Box) -> float:
        """Return the IoU of what two masks have within a box."""
        areas = self._area_within(k, box), self._area_within(j, box)
        if min(areas) <= MIN_IOU * max(areas):  # the IoU cannot be higher than that
            return 0.0
        shared = _intersection(self._box(k), self._box(j))
        shared = None if shared is None else _intersection(shared, box)
        if shared is None:
            return 0.0
        both = int(np.count_nonzero(self._within(k, shared) & self._within(j, shared)))
        return both / max(sum(areas) - both, 1)

    def _box(self, k: int) -> _Box:
        row0, col0, row1, col1 = self._boxes[k]
        return row0, col0, row1, col1

    def _area_within(self, k: int, box: _Box) -> int:
        """Return how many pixels of a mask lie in a box."""
        inner = _intersection(self._box(k), box)
        if inner == self._box(k):
            return self._store[self._ids[k]].area
        return 0 if inner is None else int(np.count_nonzero(self._within(k, inner)))

    def _within(self, k: int, box: _Box) -> Bool:
        """Return the part of a mask in a box that lies inside the mask's box."""
        row0, col0, row1, col1 = box
        top, left, _, _ = self._boxes[k]
        window = self._store.window(self._ids[k])
        return window[row0 - top : row1 - top, col0 - left : col1 - left]


class _BoxIndex:
    """Finds the masks whose boxes overlap that of another one, by a grid of cells."""

    def __init__(self, boxes: NDArray[np.int64]) -> None:
        sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 1)
        self._boxes: list[list[int]] = boxes.tolist()
        self._cell = max(int(2 * np.median(sides)), 16)
        self._at: dict[tuple[int, int], list[int]] = defaultdict(list)

    def add(self, k: int) -> None:
        """Add a mask."""
        for cell in self._cells(k):
            self._at[cell].append(k)

    def near(self, k: int) -> Iterable[int]:
        """Return the masks added so far whose boxes overlap that of `k`."""
        row0, col0, row1, col1 = self._boxes[k]
        found = {j for cell in self._cells(k) for j in self._at.get(cell, ())}
        for j in sorted(found):
            r0, c0, r1, c1 = self._boxes[j]
            if r0 < row1 and row0 < r1 and c0 < col1 and col0 < c1:
                yield j

    def _cells(self, k: int) -> Iterator[tuple[int, int]]:
        row0, col0, row1, col1 = (n // self._cell for n in self._boxes[k])
        for row in range(row0, row1 + 1):
            for col in range(col0, col1 + 1):
                yield row, col


def _intersection(one: _Box, other: _Box) -> _Box | None:
    row0, col0 = max(one[0], other[0]), max(one[1], other[1])
    row1, col1 = min(one[2], other[2]), min(one[3], other[3])
    return (row0, col0, row1, col1) if row0 < row1 and col0 < col1 else None
