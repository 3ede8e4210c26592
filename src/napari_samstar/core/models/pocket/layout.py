"""Sizes and channel counts that the parts of the pocket model agree on, and the packed layout."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

IMAGE_SIZE = 512  # px, long side of the frame the encoder sees
STRIDE = 16  # px per cell of the image embedding
FINE_STRIDE = 4  # px per cell of the dense, fine and relation maps
MASK_SIZE = 256  # px, side of the low-resolution logits (stride 2)
EMBED_DIM = 128  # channels the transformer works on
DENSE = 6  # foreground, edge, centre heat, offset row, offset col, log size
FINE = 16  # learned stride-4 channels for the mask head
IDENTITY = 8  # learned stride-4 channels compared between the prompt and every pixel
SIZE_UNIT = 16.0  # px; sqrt(area) of an object whose predicted log size is 0
PROMPT_MAPS = 8  # channels of `prompts.prompt_maps`
PACK = STRIDE // FINE_STRIDE  # stride-4 cells along one side of a stride-16 cell


LOG_SIZES = (-2.5, 3.5)  # bounds of the predicted log size


class DenseMaps(NamedTuple):
    """What the encoder sees without any prompt, each (B, 128, 128) float, stride 4.

    Foreground, edge and centre lie in [0, 1]; size is the square root of the area of the object
    that a cell belongs to, px of the frame.
    """

    foreground: Tensor
    edge: Tensor
    centre: Tensor
    size: Tensor


def unpack(embedding: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Packed embedding -> (coarse, dense, fine, identity); the last three at stride 4."""
    maps = F.pixel_shuffle(embedding[:, EMBED_DIM:], PACK)
    dense, fine, identity = torch.split(maps, [DENSE, FINE, IDENTITY], 1)
    return embedding[:, :EMBED_DIM], dense, fine, identity


def cell_centres(count: int, first: int, device: torch.device) -> Tensor:
    """Centres (count,) in px of stride-4 cells, `first` in cells of 16 px."""
    return first * STRIDE + FINE_STRIDE * (torch.arange(count, device=device) + 0.5)
