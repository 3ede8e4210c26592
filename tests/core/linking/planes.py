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


def crowd(seed: int, n_planes: int = 6) -> list[NDArray[np.int32]]:
    """Return planes of discs that move, overlap, end, begin and divide."""
    rng = np.random.default_rng(seed)
    circles = rng.uniform((0, 0, 5), (*SHAPE, 12), (25, 3))
    planes = []
    for _ in range(n_planes):
        planes.append(discs(*map(tuple, circles)))
        circles = circles + rng.normal(0, (3, 3, 0.3), circles.shape)
        divided = np.add(circles[:2], (0, 7, -3))
        circles = np.concatenate([divided, circles[rng.random(len(circles)) < 0.9]])
        circles[:, 2] = circles[:, 2].clip(3, 12)
    return planes
