"""From low-resolution logits to masks of a tile, drawn only where each mask lies.

`segment_anything` resizes all logits to the whole image before it looks at them; beyond a few
megapixels that takes longer than everything else. Resizing is linear and works on rows and columns
separately, so here it is written as two small matrix products for the window of each mask. The
sums are the same but for rounding: logits differ in their last bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_samstar.core.models.backend import Backend, Embedding

Weights = NDArray[np.float32]

_AT_ONCE = 16  # unit vectors resized at once: a few dozen MB


@dataclass(frozen=True, eq=False)
class Resizer:
    """Resizes windows of low-resolution logits to the encoded image.

    Attributes
    ----------
    rows, cols : ndarray of float32, shapes (H, h) and (W, w)
        Logits in the image are ``rows @ low_res @ cols.T``.
    """

    rows: Weights
    cols: Weights

    @classmethod
    def of(cls, backend: Backend, embedding: Embedding) -> Resizer:
        """Return what resizes as `backend.upscale` does for this size of image."""
        known = _resizers.setdefault(backend, {})
        sizes = embedding.original_size, embedding.input_size
        if sizes not in known:
            known[sizes] = _resizer(backend, *sizes)
        return known[sizes]

    def window(
        self, logits: Weights, origin: tuple[int, int], lowest: float
    ) -> tuple[Weights, int, int]:
        """Draw the part of a window of logits that lies above `lowest`.

        Parameters
        ----------
        logits : ndarray of float32, shape (h', w')
            A window of the low-resolution frame.
        origin : (row, col)
            Of its upper left corner in that frame.

        Returns
        -------
        drawn : ndarray of float32, shape (n, m)
            Logits in the image; all others are at most `lowest`.
        row, col : int
            Of the upper left corner in the image. A window without such a part gives one pixel.
        """
        above = logits > lowest
        rows, cols = np.flatnonzero(above.any(axis=1)), np.flatnonzero(above.any(axis=0))
        if not len(rows):
            return np.full((1, 1), lowest, dtype=np.float32), 0, 0
        row_weights, row0, rows_in = self._part(self.rows, rows, origin[0], logits.shape[0])
        col_weights, col0, cols_in = self._part(self.cols, cols, origin[1], logits.shape[1])
        drawn = row_weights @ logits[rows_in, cols_in] @ col_weights.T
        return np.asarray(drawn, dtype=np.float32), row0, col0

    @staticmethod
    def _part(
        weights: Weights, filled: NDArray[np.int64], origin: int, length: int
    ) -> tuple[Weights, int, slice]:
        """Return the weights of the pixels that the `filled` cells reach, and where both lie."""
        # What lies beyond the window is not known; its edge is repeated by the cells left out.
        first, last = int(filled[0]), int(filled[-1]) + 1
        reached = np.flatnonzero(weights[:, origin + first : origin + last].any(axis=1))
        if not len(reached):  # padding of the frame only
            return weights[:1, origin + first : origin + last], 0, slice(first, last)
        pixel0, pixel1 = int(reached[0]), int(reached[-1]) + 1
        low, high = max(first - 2, 0), min(last + 2, length)
        part = weights[pixel0:pixel1, origin + low : origin + high]
        return np.ascontiguousarray(part), pixel0, slice(low, high)


_resizers: WeakKeyDictionary[Backend, dict[tuple[tuple[int, int], tuple[int, int]], Resizer]] = (
    WeakKeyDictionary()
)


def _resizer(backend: Backend, original: tuple[int, int], given: tuple[int, int]) -> Resizer:
    """Find the weights by resizing unit vectors, so that they are the backend's own."""
    from napari_samstar.core.models.backend import Embedding

    size = Embedding(torch.zeros(1), original, given)
    h, w = backend.low_res_shape
    rows = np.empty((original[0], h), dtype=np.float32)
    cols = np.empty((original[1], w), dtype=np.float32)
    for start in range(0, h, _AT_ONCE):
        unit = torch.zeros((1, min(_AT_ONCE, h - start), h, w), device=backend.device)
        for k in range(unit.shape[1]):
            unit[0, k, start + k] = 1  # constant along the columns
        drawn = backend.upscale(unit, size, (original[0], 1))[0, :, :, 0]
        rows[:, start : start + len(drawn)] = drawn.T.cpu().numpy()
    for start in range(0, w, _AT_ONCE):
        unit = torch.zeros((1, min(_AT_ONCE, w - start), h, w), device=backend.device)
        for k in range(unit.shape[1]):
            unit[0, k, :, start + k] = 1
        drawn = backend.upscale(unit, size, (1, original[1]))[0, :, 0, :]
        cols[:, start : start + len(drawn)] = drawn.T.cpu().numpy()
    return Resizer(rows, cols)
