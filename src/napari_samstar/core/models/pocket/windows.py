"""Decoding in a window of the frame around each prompt.

The decoder's work grows with the window's area, and training decodes windows too, so for objects
much smaller than the frame it is enough.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from napari_samstar.core import interrupt
from napari_samstar.core.models.pocket.layout import EMBED_DIM, PACK, STRIDE
from napari_samstar.core.models.pocket.prompts import prompt_maps

if TYPE_CHECKING:
    from napari_samstar.core.models.pocket.model import Pocket

_CHUNKS = 2  # prompts decoded at once, in numbers of the decoder's own: a window is smaller


def decode_windows(
    model: Pocket, features: Tensor, points: Tensor, labels: Tensor, cells: NDArray[np.int64],
    side: int, arithmetic: Callable[[], Any] = contextlib.nullcontext,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Decode B prompts, each in a window of its own.

    Parameters
    ----------
    features : Tensor, float32, shape (1, C, h, w)
        The embedding of the whole frame.
    points : Tensor, float32, shape (B, n, 2)
        (x, y), px of the frame.
    labels : Tensor, int, shape (B, n)
    cells : ndarray of int64, shape (B, 2)
        (row, col) of each window's first cell in the embedding.
    side : int
        Rows and columns of a window, in cells.
    arithmetic : callable
        Returns the context in which the decoder runs.

    Returns
    -------
    logits : Tensor, float32, shape (B, 3, 8 side, 8 side)
    quality : Tensor, float32, shape (B, 3)
    """
    position = model.prompt_encoder.get_dense_pe()
    logits, quality = [], []
    step = _CHUNKS * model.mask_decoder.at_once
    for start in range(0, len(points), step):
        interrupt.check()
        some = slice(start, start + step)
        corners = cells[some].tolist()
        seen = _windows(features, corners, side)
        shift = torch.as_tensor(cells[some, None, ::-1].copy() * STRIDE, device=points.device)
        sparse, dense = _embed(model, points[some], shift, labels[some], side)
        places = _windows(position, corners, side)
        with arithmetic():
            masks, iou = model.mask_decoder.decode_each(seen, places, sparse, dense)
        logits.append(masks[:, 1:].float())
        quality.append(iou[:, 1:].float())
    return torch.cat(logits), torch.cat(quality)


def _windows(maps: Tensor, corners: list[list[int]], side: int) -> Tensor:
    """Cut windows (B, C, side, side) out of maps of shape (1, C, h, w)."""
    return torch.stack([maps[0, :, r : r + side, c : c + side] for r, c in corners])


def _embed(
    model: Pocket, points: Tensor, shift: Tensor, labels: Tensor, side: int
) -> tuple[Tensor, Tensor]:
    """Return the sparse and dense embeddings of prompts, the dense ones in their windows."""
    encoder, n = model.prompt_encoder, len(points)
    sparse = encoder._sparse((points, labels), None, n)
    dense = encoder.no_mask_embed.weight.view(1, -1, 1, 1).expand(n, EMBED_DIM, side, side)
    within = (points - shift, labels)
    maps = prompt_maps(within, None, None, n, (side, side), (0, 0), points.device)
    return sparse, torch.cat([dense, F.pixel_unshuffle(maps, PACK)], 1)
