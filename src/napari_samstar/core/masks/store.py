"""Many binary masks of one image, bit-packed and cropped to their boxes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

BITS = 64

Words = NDArray[np.uint64]
Bool = NDArray[np.bool_]


def pack(mask: Bool) -> Words:
    """Pack a bool array of shape (rows, 64 k) to uint64 words of shape (rows, k)."""
    return np.packbits(mask, axis=1, bitorder="little").view(np.uint64)


def unpack(words: Words) -> Bool:
    """Undo `pack`."""
    raw = np.ascontiguousarray(words).view(np.uint8)
    return np.unpackbits(raw, axis=1, bitorder="little").view(bool)


def count(words: Words) -> int:
    """Return the number of set bits."""
    return int(np.bitwise_count(words).sum(dtype=np.int64))


@dataclass(frozen=True, eq=False)
class BitWindow:
    """A bit-packed window of an image.

    Attributes
    ----------
    bits : ndarray of uint64, shape (rows, words)
        64 pixels per word along the columns.
    row, word : int
        Where the window's upper left corner lies: pixel (row, 64 * word).
    """

    bits: Words
    row: int
    word: int

    @property
    def nbytes(self) -> int:
        """Memory of the bits."""
        return int(self.bits.nbytes)

    @cached_property
    def area(self) -> int:
        """Number of set pixels."""
        return count(self.bits)

    def meet(self, other: BitWindow) -> BitWindow | None:
        """Return the pixels set in both; None where the windows are apart."""
        r0, r1 = max(self.row, other.row), min(self._row_end, other._row_end)
        w0, w1 = max(self.word, other.word), min(self._word_end, other._word_end)
        if r0 >= r1 or w0 >= w1:
            return None
        mine = self.bits[r0 - self.row : r1 - self.row, w0 - self.word : w1 - self.word]
        theirs = other.bits[r0 - other.row : r1 - other.row, w0 - other.word : w1 - other.word]
        return BitWindow(mine & theirs, r0, w0)

    def overlap(self, other: BitWindow) -> int:
        """Return the number of pixels set in both."""
        both = self.meet(other)
        return 0 if both is None else both.area

    def on(self, canvas: Words) -> Words:
        """Return the view of a whole-image `canvas` that lies under this window."""
        return canvas[self.row : self._row_end, self.word : self._word_end]

    def shared(self, canvas: Words) -> int:
        """Return the number of pixels set both here and on a whole-image `canvas`."""
        return count(self.bits & self.on(canvas))

    @property
    def _row_end(self) -> int:
        return self.row + len(self.bits)

    @property
    def _word_end(self) -> int:
        return self.word + int(self.bits.shape[1])


@dataclass(frozen=True, eq=False)
class PackedMask:
    """One binary mask.

    Attributes
    ----------
    bit_window : BitWindow
        Its bits.
    box : (row0, col0, row1, col1)
        Tight and half open, px of the image; all zero for a mask without a pixel.
    area : int
        Number of pixels.
    """

    bit_window: BitWindow
    box: tuple[int, int, int, int]
    area: int

    @classmethod
    def of(cls, window: Bool, row: int, col: int) -> PackedMask:
        """Pack a tight bool `window` of shape (h, w) whose upper left pixel is (row, col)."""
        h, w = window.shape
        area = int(np.count_nonzero(window))
        box = (row, col, row + h, col + w) if area else (0, 0, 0, 0)
        return cls(pack_window(window, row, col), box, area)

    @classmethod
    def tight(cls, window: Bool, row: int, col: int) -> PackedMask:
        """Pack a bool `window` at pixel (row, col) with any empty margin cut off."""
        rows, cols = np.flatnonzero(window.any(axis=1)), np.flatnonzero(window.any(axis=0))
        if not len(rows):
            return cls.of(window[:1, :1], row, col)
        r0, r1, c0, c1 = int(rows[0]), int(rows[-1]) + 1, int(cols[0]), int(cols[-1]) + 1
        return cls.of(window[r0:r1, c0:c1], row + r0, col + c0)


def pack_window(window: Bool, row: int, col: int) -> BitWindow:
    """Pack a window at pixel (row, col) so that its words line up with the image's."""
    h, w = window.shape
    first, last = col // BITS, -(-(col + w) // BITS)
    padded = np.zeros((h, (last - first) * BITS), dtype=bool)
    padded[:, col - first * BITS : col - first * BITS + w] = window
    return BitWindow(pack(padded), row, first)


class MaskStore:
    """Append-only store of the masks of one image.

    A mask's id is its position; it never changes.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the image, px.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self._masks: list[PackedMask] = []
        self._lock = Lock()  # a running search and the sliders clean masks at the same time

    def __len__(self) -> int:
        return len(self._masks)

    @property
    def nbytes(self) -> int:
        """Memory held by the packed masks."""
        return sum(mask.bit_window.nbytes for mask in self._masks)

    def extend(self, masks: Sequence[PackedMask]) -> range:
        """Store `masks` and return their ids."""
        with self._lock:
            first = len(self._masks)
            self._masks.extend(masks)
            return range(first, len(self._masks))

    def __getitem__(self, mask_id: int) -> PackedMask:
        return self._masks[mask_id]

    def boxes(self, ids: Iterable[int]) -> NDArray[np.int64]:
        """Return the boxes of `ids`, shape (n, 4): (row0, col0, row1, col1), half open, px."""
        return np.array([self._masks[i].box for i in ids], dtype=np.int64).reshape(-1, 4)

    def areas(self, ids: Iterable[int]) -> NDArray[np.int64]:
        """Return the areas of `ids` in px, shape (n,)."""
        return np.array([self._masks[i].area for i in ids], dtype=np.int64)

    def window(self, mask_id: int) -> Bool:
        """Return the mask inside its box: bool, shape (row1 - row0, col1 - col0)."""
        mask = self._masks[mask_id]
        _, col, _, end = mask.box
        bit_window = mask.bit_window
        start = col - bit_window.word * BITS
        return unpack(bit_window.bits)[:, start : start + end - col]

    def dense(self, mask_id: int) -> Bool:
        """Return the mask in the image's frame: bool, shape (H, W)."""
        dense = np.zeros(self.shape, dtype=bool)
        row, col, row1, col1 = self._masks[mask_id].box
        dense[row:row1, col:col1] = self.window(mask_id)
        return dense

    def blank(self) -> Words:
        """Return an empty whole-image canvas."""
        return np.zeros((self.shape[0], -(-self.shape[1] // BITS)), dtype=np.uint64)

    def union(self, ids: Sequence[int]) -> Words:
        """Return the canvas on which all masks of `ids` are painted."""
        canvas = self.blank()
        for i in ids:
            bit_window = self._masks[i].bit_window
            under = bit_window.on(canvas)
            under |= bit_window.bits
        return canvas

    def overlap(self, i: int, j: int) -> int:
        """Return the number of pixels that masks i and j share."""
        return self._masks[i].bit_window.overlap(self._masks[j].bit_window)


def canvas_of(mask: Bool) -> Words:
    """Pack a whole-image bool mask of shape (H, W) to a canvas as `MaskStore.blank` makes it."""
    h, w = mask.shape
    padded = np.zeros((h, -(-w // BITS) * BITS), dtype=bool)
    padded[:, :w] = mask
    return pack(padded)


def run_lengths(mask: Bool) -> dict[str, Any]:
    """Return COCO's uncompressed run lengths of a bool (H, W) mask, column by column."""
    flat = mask.T.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges = np.concatenate([[0], changes, [flat.size]])
    counts = np.diff(edges).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if flat[0] else counts}
