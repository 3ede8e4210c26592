"""The binary masks of one image, bit-packed and cropped to their bounding boxes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

BITS = 64
"""Pixels in one word."""

Words = NDArray[np.uint64]
Bool = NDArray[np.bool_]


def pack(mask: Bool) -> Words:
    """Pack a bool array of shape (rows, 64 k) to uint64 words of shape (rows, k)."""
    return np.packbits(mask, axis=1, bitorder="little").view(np.uint64)


def unpack(words: Words) -> Bool:
    """Unpack uint64 words of shape (rows, k) to a bool array of shape (rows, 64 k)."""
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
        The window's upper left corner in the image is pixel (row, 64 * word).
    """

    bits: Words
    row: int
    word: int

    @property
    def nbytes(self) -> int:
        """Memory of the bits, bytes."""
        return int(self.bits.nbytes)

    @cached_property
    def area(self) -> int:
        """Number of set pixels."""
        return count(self.bits)

    def intersection(self, other: BitWindow) -> BitWindow | None:
        """Return the pixels set in both; None where the windows do not overlap."""
        r0, r1 = max(self.row, other.row), min(self._row_end, other._row_end)
        w0, w1 = max(self.word, other.word), min(self._word_end, other._word_end)
        if r0 >= r1 or w0 >= w1:
            return None
        first = self.bits[r0 - self.row : r1 - self.row, w0 - self.word : w1 - self.word]
        second = other.bits[r0 - other.row : r1 - other.row, w0 - other.word : w1 - other.word]
        return BitWindow(first & second, r0, w0)

    def overlap(self, other: BitWindow) -> int:
        """Return the number of pixels set in both."""
        both = self.intersection(other)
        return 0 if both is None else both.area

    def crop(self, canvas: Words) -> Words:
        """Return the part of a whole-image `canvas` under this window, as a view."""
        return canvas[self.row : self._row_end, self.word : self._word_end]

    def overlap_on(self, canvas: Words) -> int:
        """Return the number of pixels set both here and on a whole-image `canvas`."""
        return count(self.bits & self.crop(canvas))

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
        The pixels.
    box : (row0, col0, row1, col1)
        Tight bounding box, half open, px of the image; all zero for an empty mask.
    area : int
        Number of pixels.
    """

    bit_window: BitWindow
    box: tuple[int, int, int, int]
    area: int

    @property
    def window(self) -> Bool:
        """The mask inside its box: bool, shape (row1 - row0, col1 - col0)."""
        row0, col0, row1, col1 = self.box
        start = col0 - self.bit_window.word * BITS
        return unpack(self.bit_window.bits)[: row1 - row0, start : start + col1 - col0]

    @classmethod
    def of(cls, window: Bool, row: int, col: int) -> PackedMask:
        """Pack a tight bool `window` of shape (h, w) whose upper left pixel is (row, col)."""
        h, w = window.shape
        area = int(np.count_nonzero(window))
        box = (row, col, row + h, col + w) if area else (0, 0, 0, 0)
        return cls(pack_window(window, row, col), box, area)

    @classmethod
    def tight(cls, window: Bool, row: int, col: int) -> PackedMask:
        """Pack a bool `window` whose upper left pixel is (row, col), cropped to its pixels."""
        rows, cols = np.flatnonzero(window.any(axis=1)), np.flatnonzero(window.any(axis=0))
        if not len(rows):
            return cls.of(window[:1, :1], row, col)
        r0, r1, c0, c1 = int(rows[0]), int(rows[-1]) + 1, int(cols[0]), int(cols[-1]) + 1
        return cls.of(window[r0:r1, c0:c1], row + r0, col + c0)


def pack_window(window: Bool, row: int, col: int) -> BitWindow:
    """Pack a bool `window` at pixel (row, col); its words are aligned with those of a canvas."""
    h, w = window.shape
    first, last = col // BITS, -(-(col + w) // BITS)
    padded = np.zeros((h, (last - first) * BITS), dtype=bool)
    padded[:, col - first * BITS : col - first * BITS + w] = window
    return BitWindow(pack(padded), row, first)


class MaskStore:
    """Append-only store of the masks of one image.

    The id of a mask is its position in the store; it never changes.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the image, px.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self._masks: list[PackedMask] = []
        self._lock = Lock()  # a search and a preview may add cleaned masks at the same time

    def __len__(self) -> int:
        return len(self._masks)

    @property
    def nbytes(self) -> int:
        """Memory of the packed masks, bytes."""
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
        return self._masks[mask_id].window

    def dense(self, mask_id: int) -> Bool:
        """Return the mask in the whole image: bool, shape (H, W)."""
        dense = np.zeros(self.shape, dtype=bool)
        row, col, row1, col1 = self._masks[mask_id].box
        dense[row:row1, col:col1] = self.window(mask_id)
        return dense

    def empty_canvas(self) -> Words:
        """Return bit-packed zeros for the whole image, shape (H, ceil(W / 64))."""
        return np.zeros((self.shape[0], -(-self.shape[1] // BITS)), dtype=np.uint64)

    def union(self, ids: Sequence[int]) -> Words:
        """Return the union of the masks of `ids` as a whole-image canvas."""
        canvas = self.empty_canvas()
        for i in ids:
            bit_window = self._masks[i].bit_window
            part = bit_window.crop(canvas)
            part |= bit_window.bits
        return canvas

    def overlap(self, i: int, j: int) -> int:
        """Return the number of pixels set in both masks, i and j."""
        return self._masks[i].bit_window.overlap(self._masks[j].bit_window)


def canvas_of(mask: Bool) -> Words:
    """Pack a bool mask of shape (H, W) to a canvas, uint64 of shape (H, ceil(W / 64))."""
    h, w = mask.shape
    padded = np.zeros((h, -(-w // BITS) * BITS), dtype=bool)
    padded[:, :w] = mask
    return pack(padded)


def run_lengths(mask: Bool) -> dict[str, Any]:
    """Return the uncompressed COCO run lengths of a bool (H, W) mask, in column-major order."""
    flat = mask.T.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges = np.concatenate([[0], changes, [flat.size]])
    counts = np.diff(edges).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if flat[0] else counts}
