"""A SAM small enough for tests, whose masks are many, local and shaped by the image."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import torch
from segment_anything.modeling import ImageEncoderViT, PromptEncoder, Sam
from torch import Tensor, nn
from torch.nn import functional as F

from napari_samstar.core.models.backend import LoadedModel
from napari_samstar.core.models.sam_backend import SamBackend

SIDE = 256
WIDTH = 64
CELLS = SIDE // 16


class BlobDecoder(nn.Module):
    """Grows three masks, or one, around a point, where SAM's codes of pixel and point agree.

    Two codes correlate like a Gaussian of their distance. Random features of the image ruffle
    the outline, so that masks have specks, holes, and stabilities from 0 to 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.texture = nn.ConvTranspose2d(WIDTH, 3, kernel_size=4, stride=4)
        self.quality = nn.Linear(WIDTH, 3)
        self.register_buffer("cuts", torch.tensor([0.25, 0.45, 0.7]))

    def forward(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
        multimask_output: bool,
    ) -> tuple[Tensor, Tensor]:
        fine = F.interpolate(image_pe, scale_factor=4.0, mode="bilinear")
        point = sparse_prompt_embeddings[:, 0]
        alike = (point @ fine.flatten(2)[0] * (2 / WIDTH)).view(-1, 1, 4 * CELLS, 4 * CELLS)
        ruffles = torch.tanh(4 * self.texture(image_embeddings))
        logits = 50 * (alike - self.cuts[:, None, None]) + 12 * ruffles
        seen = (alike.clamp(min=0) * ruffles).mean((2, 3))
        quality = torch.sigmoid(3 * self.quality(point) + 20 * seen + 1)
        wanted = slice(None) if multimask_output else slice(1)
        return logits[:, wanted], quality[:, wanted]


@lru_cache
def tiny_model(seed: int = 0) -> LoadedModel:
    """Return the same tiny SAM for the same seed: random weights, 256 px frame."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        sam = Sam(
            image_encoder=ImageEncoderViT(
                img_size=SIDE, embed_dim=32, depth=1, num_heads=2, out_chans=WIDTH,
                use_rel_pos=True, global_attn_indexes=(0,),
            ),
            prompt_encoder=PromptEncoder(WIDTH, (CELLS, CELLS), (SIDE, SIDE), 16),
            mask_decoder=BlobDecoder(),
        )  # fmt: skip
        for embedding in sam.prompt_encoder.point_embeddings:
            nn.init.zeros_(embedding.weight)  # leaves the bare positional code
    sam.eval().requires_grad_(False)
    return LoadedModel(
        backend=SamBackend(sam),
        name="tiny",
        architecture="vit_b",
        sha256=hashlib.sha256(f"tiny {seed}".encode()).hexdigest(),
        device=torch.device("cpu"),
        path=Path("tiny.safetensors"),
    )
