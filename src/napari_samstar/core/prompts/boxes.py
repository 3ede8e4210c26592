"""Boxes that the user or a detector gives, one for each object."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from napari_samstar.core.errors import UserError
from napari_samstar.core.prompts.base import Crop, Prompts, PromptSettings


class BoxSource:
    """The setting `boxes`: (x0, y0, x1, y1) in px of the image."""

    name = "boxes"
    label = "Boxes"
    help = "One box around each object, given beforehand."

    def key(self, settings: PromptSettings, layer: int, sees_centres: bool) -> Hashable:
        """Return the boxes; crops of zoom levels are prompted with those that lie in them."""
        return settings.boxes

    def expected(self, key: Hashable) -> int:
        """Return the number of boxes."""
        assert isinstance(key, tuple)
        return len(key)

    def prompts(self, key: Hashable, crop: Crop) -> Prompts:
        """Return the boxes that lie within the crop.

        Raises
        ------
        UserError
            Where a box does not lie in the image.
        """
        boxes = np.asarray(key, dtype=np.float64).reshape(-1, 4)
        rows, cols = crop.image_shape
        if (boxes < 0).any() or (boxes > (cols, rows, cols, rows)).any():
            raise UserError(
                f"A box does not lie in the image of {rows} x {cols} pixels: boxes belong to the "
                "image that they were drawn on."
            )
        x0, y0, x1, y1 = crop.box
        inside = (boxes[:, :2] >= (x0, y0)).all(axis=1) & (boxes[:, 2:] <= (x1, y1)).all(axis=1)
        return Prompts(boxes=boxes[inside] - (x0, y0, x0, y0))
