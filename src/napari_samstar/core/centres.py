"""Prompts from the pocket model's dense head: where it sees the centres of objects.

Instead of asking on a grid, ask where there is something to ask about, as AM-SAM (Li et al., 2024)
does. The prompts enter the mask generator as `AmgConfig.point_grids`, so everything behind them,
upstream's generator included, works as with a grid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything.utils.amg import generate_crop_boxes
from skimage.feature import peak_local_max

from napari_samstar.core.errors import UserError
from napari_samstar.core.pocket import FINE_STRIDE, Pocket

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

    from napari_samstar.core.config import AmgConfig
    from napari_samstar.core.encoder import Embedding, EmbeddingCache
    from napari_samstar.core.images import Micrograph
    from napari_samstar.core.models import LoadedModel

Grid = tuple[tuple[float, float], ...]

LEAST = 0.2
"""Least height of the centre map at which a peak is worth a prompt; set beforehand, not tuned."""


def sees_centres(sam: Sam) -> TypeGuard[Pocket]:
    """Return whether a model has the dense head that `centre_grids` reads."""
    return isinstance(sam, Pocket)


def centre_grids(
    model: LoadedModel,
    image: Micrograph,
    config: AmgConfig,
    cache: EmbeddingCache,
    least: float = LEAST,
) -> tuple[Grid, ...]:
    """Return explicit prompts for `config`: one grid for the image and for each zoom level.

    Upstream asks all crops of a zoom level at the same fractions, so such a level's grid is the
    union of what its crops see.

    Parameters
    ----------
    config : AmgConfig
        Only its crops matter.
    cache : EmbeddingCache
        Where crops are encoded; share it with the proposal bank, and encoding is paid for once.
    least : float
        See `peaks`.

    Returns
    -------
    tuple of tuple of (x, y)
        Fractions of the crop, each grid with at least one point: use it as
        ``config.replace(points_per_side=None, point_grids=...)``.

    Raises
    ------
    UserError
        For a model without a dense head.
    """
    if not sees_centres(model.sam):
        raise UserError(
            f"{model.name} cannot propose centres: choose the model 'pocket', or a grid of points."
        )
    boxes, layers = generate_crop_boxes(
        image.shape, config.crop_n_layers, config.crop_overlap_ratio
    )
    grids: list[dict[tuple[float, float], None]] = [{} for _ in range(config.crop_n_layers + 1)]
    for (x0, y0, x1, y1), layer in zip(boxes, layers, strict=True):
        embedding = cache.encode(model, image.rgb[y0:y1, x0:x1])
        grids[layer] |= dict.fromkeys(_fractions(model.sam, embedding, least))
    return tuple(tuple(grid) for grid in grids)


def _fractions(sam: Pocket, embedding: Embedding, least: float) -> Grid:
    """Return the peaks of one crop as fractions (x, y) of it."""
    with torch.no_grad():
        centre = sam.dense_maps(embedding.features).centre[0].cpu().numpy()
    rows, cols = embedding.input_size
    seen = centre[: -(-rows // FINE_STRIDE), : -(-cols // FINE_STRIDE)]  # the rest is padding
    # The middle of a cell, less the half pixel that SAM's prompt encoder adds.
    at = (peaks(seen, least) + 0.5) * FINE_STRIDE - 0.5
    x, y = np.clip(at[:, 1] / cols, 0, 1), np.clip(at[:, 0] / rows, 0, 1)
    return tuple(zip(x.tolist(), y.tolist(), strict=True))


def peaks(centre: NDArray[np.float32], least: float = LEAST) -> NDArray[np.int64]:
    """Return the local maxima (n, 2) as (row, col) of a centre map (H, W) in [0, 1], highest first.

    A peak is the highest of its 3 x 3 cells and reaches `least`. Where there is none, the highest
    cell alone: a generator that is asked nothing would fail.
    """
    found = peak_local_max(centre, min_distance=1, threshold_abs=least, exclude_border=False)
    if not len(found):
        found = np.array([np.unravel_index(int(centre.argmax()), centre.shape)])
    return np.asarray(found, dtype=np.int64)
