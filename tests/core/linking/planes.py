"""Label images of rectangles and discs for the tests of linking."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tests.core.painted import disc, rectangle

SHAPE = (100, 140)


def boxes(*corners: tuple[int, int, int, int]) -> NDArray[np.int32]:
    """Return labels of rectangles (row0, col0, row1, col1); later ones have higher ids."""
    labels = np.zeros(SHAPE, np.int32)
    for k, box in enumerate(corners, 1):
        labels[rectangle(SHAPE, *box)] = k
    return labels


def discs(*circles: tuple[float, float, float]) -> NDArray[np.int32]:
    """Return labels of discs (row, col, radius)."""
    labels = np.zeros(SHAPE, np.int32)
    for k, circle in enumerate(circles, 1):
        labels[disc(SHAPE, *circle)] = k
    return labels
