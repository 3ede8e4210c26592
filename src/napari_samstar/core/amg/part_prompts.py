"""Which prompts and given masks of a part count: by their places."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_samstar.core.amg.candidates import CropBox
    from napari_samstar.core.image.region import Region

CORE_MARGIN = 16
"""Prompts of a tile lie in its core, or at most this far outside it, px of the frame; the objects
further out are found by its neighbours."""


def in_region(places: NDArray[np.float64], crop_box: CropBox, region: Region) -> NDArray[np.int64]:
    """Return which places (x, y) in a crop, shape (n, 2), lie in a region; as indices."""
    x0, y0, x1, y1 = crop_box
    inside = region.window(y0, x0, y1, x1)
    cols, rows = np.floor(places).astype(int).T
    rows, cols = np.clip(rows, 0, y1 - y0 - 1), np.clip(cols, 0, x1 - x0 - 1)
    return np.flatnonzero(inside[rows, cols])


def near_core(
    places: NDArray[np.float64], crop_box: CropBox, core: CropBox, frame_side: int
) -> NDArray[np.int64]:
    """Return which places (x, y) in a tile, shape (n, 2), lie in or near its core; as indices."""
    x0, y0, x1, y1 = crop_box
    margin = CORE_MARGIN * max(x1 - x0, y1 - y0) / frame_side
    low = np.array(core[:2]) - (x0, y0) - margin
    high = np.array(core[2:]) - (x0, y0) + margin
    return np.flatnonzero(((places >= low) & (places <= high)).all(axis=1))
