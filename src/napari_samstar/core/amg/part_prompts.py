"""Which prompts of a part are decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_samstar.core.amg.candidates import CropBox
    from napari_samstar.core.image.region import Region
    from napari_samstar.core.prompts.base import Prompts

CORE_MARGIN = 16
"""Prompts of a tile lie in its core, or at most this far outside it, px of the frame; the objects
further out are found by its neighbours."""


def in_region(prompts: Prompts, crop_box: CropBox, region: Region) -> Prompts:
    """Return the prompts of a crop that lie in a region."""
    x0, y0, x1, y1 = crop_box
    inside = region.window(y0, x0, y1, x1)
    cols, rows = np.floor(prompts.places).astype(int).T
    rows, cols = np.clip(rows, 0, y1 - y0 - 1), np.clip(cols, 0, x1 - x0 - 1)
    return prompts.take(np.flatnonzero(inside[rows, cols]))


def near_core(prompts: Prompts, crop_box: CropBox, core: CropBox, frame_side: int) -> Prompts:
    """Return the prompts of a tile that lie in its core or near it."""
    x0, y0, x1, y1 = crop_box
    margin = CORE_MARGIN * max(x1 - x0, y1 - y0) / frame_side
    low = np.array(core[:2]) - (x0, y0) - margin
    high = np.array(core[2:]) - (x0, y0) + margin
    places = prompts.places
    return prompts.take(np.flatnonzero(((places >= low) & (places <= high)).all(axis=1)))
