"""Models and an image of three discs, shared by the tests of clicks and adaptation."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)

from napari_samstar.core.models.backend import Embedding, LoadedModel
from napari_samstar.core.models.encoder import encode
from napari_samstar.core.models.loading import load
from napari_samstar.core.models.sam_backend import SamBackend

SHAPE = (120, 200)
DISCS = ((40, 40, 16), (60, 100, 20), (80, 165, 14))  # row, column, radius


@lru_cache
def pocket() -> LoadedModel:
    """The bundled model."""
    return load("pocket", "cpu")


@lru_cache
def small_sam() -> LoadedModel:
    """Meta's architecture, small and with random weights: 128 px frame, 32 px logits."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sam = Sam(
            image_encoder=ImageEncoderViT(
                img_size=128, embed_dim=32, depth=1, num_heads=2, out_chans=32,
                use_rel_pos=True, global_attn_indexes=(0,),
            ),
            prompt_encoder=PromptEncoder(32, (8, 8), (128, 128), 16),
            mask_decoder=MaskDecoder(
                transformer_dim=32,
                transformer=TwoWayTransformer(2, 32, num_heads=2, mlp_dim=64),
            ),
        )  # fmt: skip
    sam.eval().requires_grad_(False)
    sha = hashlib.sha256(b"small").hexdigest()
    return LoadedModel(
        SamBackend(sam), "small", "vit_b", sha, torch.device("cpu"), Path("small.pth")
    )


def disc(k: int) -> np.ndarray:
    """Return the true mask of one disc."""
    row, col, radius = DISCS[k]
    rows, cols = np.indices(SHAPE)
    return (rows - row) ** 2 + (cols - col) ** 2 <= radius**2


def image() -> np.ndarray:
    """Return bright discs on a noisy background, uint8 RGB."""
    grey = np.random.default_rng(0).normal(50, 8, SHAPE)
    for k in range(len(DISCS)):
        grey[disc(k)] += 120
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, 2)


@lru_cache
def embedding(name: str = "pocket") -> Embedding:
    """Return the embedding of the image by `pocket` or `small_sam`."""
    return encode(pocket() if name == "pocket" else small_sam(), image())
