"""Prompts from the pocket model's dense head: where it sees the centres of objects.

Instead of asking on a grid, ask where there is something to ask about, as AM-SAM (Li et al., 2024)
does. Behind the prompts everything works as with a grid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.feature import peak_local_max

from napari_samstar.core.errors import UserError
from napari_samstar.core.models.pocket import FINE_STRIDE, Pocket

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

    from napari_samstar.core.models.encoder import Embedding
    from napari_samstar.core.models.loading import LoadedModel

LEAST = 0.2
"""Least height of the centre map at which a peak is worth a prompt; set beforehand, not tuned."""


def sees_centres(sam: Sam) -> TypeGuard[Pocket]:
    """Return whether a model has the dense head that `centres` reads."""
    return isinstance(sam, Pocket)


def centres(model: LoadedModel, embedding: Embedding, least: float = LEAST) -> NDArray[np.float64]:
    """Return where a model sees centres in one encoded crop, highest first.

    Parameters
    ----------
    embedding : Embedding
        Of the crop, by this model.
    least : float
        See `peaks`.

    Returns
    -------
    ndarray of float64, shape (n, 2)
        (x, y) as fractions of the crop, n >= 1: upstream's frame for `point_grids`.

    Raises
    ------
    UserError
        For a model without a dense head.
    """
    if not sees_centres(model.sam):
        raise UserError(
            f"{model.name} cannot propose centres: choose the model 'pocket', or a grid of points."
        )
    with torch.no_grad():
        centre = model.sam.dense_maps(embedding.features).centre[0].cpu().numpy()
    rows, cols = embedding.input_size
    seen = centre[: -(-rows // FINE_STRIDE), : -(-cols // FINE_STRIDE)]  # the rest is padding
    # The middle of a cell, less the half pixel that SAM's prompt encoder adds.
    at = (peaks(seen, least) + 0.5) * FINE_STRIDE - 0.5
    return np.clip(at[:, ::-1] / (cols, rows), 0, 1)


def peaks(centre: NDArray[np.float32], least: float = LEAST) -> NDArray[np.int64]:
    """Return the local maxima (n, 2) as (row, col) of a centre map (H, W) in [0, 1], highest first.

    A peak is the highest of its 3 x 3 cells and reaches `least`. Where there is none, the highest
    cell alone: a generator that is asked nothing would fail.
    """
    found = peak_local_max(centre, min_distance=1, threshold_abs=least, exclude_border=False)
    if not len(found):
        found = np.array([np.unravel_index(int(centre.argmax()), centre.shape)])
    return np.asarray(found, dtype=np.int64)
