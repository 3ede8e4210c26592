"""The prompt of a click session as the mask decoder gets it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from napari_samstar.core.interactive.state import ClickState
    from napari_samstar.core.models.encoder import Embedding
    from napari_samstar.core.models.loading import LoadedModel


@dataclass(frozen=True, eq=False)
class EncodedPrompt:
    """A prompt as the mask decoder gets it; no gradient flows into it.

    Attributes
    ----------
    features, position, sparse, dense : Tensor
        The decoder's inputs.
    several : bool
        Whether SAM answers it with three masks.
    """

    features: Tensor
    position: Tensor
    sparse: Tensor
    dense: Tensor
    several: bool


@torch.no_grad()
def encode_prompt(model: LoadedModel, embedding: Embedding, state: ClickState) -> EncodedPrompt:
    """Encode the prompt of a click session's state as `SamPredictor` does."""
    sam, transform = model.sam, embedding.predictor(model).transform
    prompt, device = state.prompt, model.device
    points = box = previous = None
    if prompt.clicks:
        xy = np.array([(c.col, c.row) for c in prompt.clicks], dtype=float)
        xy = transform.apply_coords(xy, embedding.original_size)
        labels = torch.tensor([[int(c.positive) for c in prompt.clicks]], dtype=torch.int)
        points = (torch.as_tensor(xy, dtype=torch.float)[None].to(device), labels.to(device))
    if prompt.box is not None:
        b = prompt.box
        corners = np.array([[b.col0, b.row0, b.col1, b.row1]], dtype=float)
        corners = transform.apply_boxes(corners, embedding.original_size)
        box = torch.as_tensor(corners, dtype=torch.float, device=device)
    if state.previous is not None:
        previous = torch.as_tensor(state.previous, device=device)[None, None]
    sparse, dense = sam.prompt_encoder(points=points, boxes=box, masks=previous)
    position = sam.prompt_encoder.get_dense_pe()
    several = prompt.first and previous is None
    return EncodedPrompt(embedding.features, position, sparse, dense, several)
