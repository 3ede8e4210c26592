"""Prompts where a model sees the centres of objects.

Instead of asking on a grid, ask where there is something to ask about, as AM-SAM (Li et al., 2024)
does. Behind the prompts everything works as with a grid.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_samstar.core.errors import UserError
from napari_samstar.core.prompts.base import Crop, Prompts, PromptSettings

if TYPE_CHECKING:
    from napari_samstar.core.models.backend import Backend, Embedding

LEAST = 0.2
"""Least height of the centre map at which a peak becomes a prompt; set beforehand, not tuned."""

USUAL_CENTRES = 200
"""Centres per crop, for estimates of time and memory before the crop is encoded."""


class CentreSource:
    """Maxima of the model's own centre map, anew in each image and crop."""

    name = "centres"
    label = "Centres of objects"
    help = "Only where the model sees the centre of an object."

    def key(self, settings: PromptSettings, layer: int, sees_centres: bool) -> Hashable:
        """Return nothing: the centres depend on image and model alone."""
        return ()

    def expected(self, key: Hashable) -> int:
        """Return what is usual."""
        return USUAL_CENTRES

    def prompts(self, key: Hashable, crop: Crop) -> Prompts:
        """Return one prompt for each centre, the surest first; at least one.

        Raises
        ------
        UserError
            For a model that sees no centres.
        """
        rows, cols = crop.embedding.original_size
        return Prompts.single_points(
            centres(crop.backend, crop.embedding) * np.array([[cols, rows]])
        )


def centres(backend: Backend, embedding: Embedding, least: float = LEAST) -> NDArray[np.float64]:
    """Return the centres as fractions (x, y) of a crop, shape (n, 2), n >= 1, highest first.

    This is upstream's frame for `point_grids`. UserError for a model that sees no centres.
    """
    found = backend.centre_map(embedding)
    if found is None:
        raise UserError(
            "This model cannot propose centres: choose the model 'pocket', or a grid of points."
        )
    rows, cols = embedding.input_size
    stride = found.stride
    seen = found.heat[: -(-rows // stride), : -(-cols // stride)]  # the rest is padding
    # The middle of a cell, less the half pixel that SAM's prompt encoder adds.
    at = (peaks(seen, least) + 0.5) * stride - 0.5
    return np.clip(at[:, ::-1] / (cols, rows), 0, 1)


def peaks(centre: NDArray[np.float32], least: float = LEAST) -> NDArray[np.int64]:
    """Return the local maxima (n, 2) as (row, col) of a centre map (H, W) in [0, 1], highest first.

    A peak is the highest of its 3 x 3 cells and reaches `least`. Where there is none, the highest
    cell alone: SAM's generator fails without any prompt.
    """
    from skimage.feature import peak_local_max

    found = peak_local_max(centre, min_distance=1, threshold_abs=least, exclude_border=False)
    if not len(found):
        found = np.array([np.unravel_index(int(centre.argmax()), centre.shape)])
    return np.asarray(found, dtype=np.int64)
