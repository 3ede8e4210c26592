"""Models with random weights and a synthetic micrograph, for timing only.

The weights are drawn so that numbers keep their size from layer to layer, and the decoder's last
layers are then scaled so that logits and predicted quality spread as those of a trained model.
"""

from __future__ import annotations

import math
import re
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything import SamPredictor, sam_model_registry
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from torch import Tensor, nn

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
LOGITS = 6.0  # standard deviation of logits
LEARNED = re.compile(r"(tokens?|point_embeddings\.\d|_embed)\.weight$|gaussian_matrix$")
QUALITY = (0.8, 0.05)  # mean and standard deviation of the predicted quality


def micrograph(side: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return round particles of several sizes on an uneven, noisy background, (side, side, 3)."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:side, :side].astype(np.float32)
    grey = 90 + 20 * np.sin(rows / side * 5) + 15 * np.cos(cols / side * 4)
    for _ in range(60):
        radius = side * rng.uniform(0.012, 0.05)
        row, col = rng.uniform(0, side, 2)
        far = np.hypot(rows - row, cols - col) / radius
        grey += rng.uniform(40, 90) * (0.5 - 0.5 * np.tanh(6 * (far - 1)))
    grey += rng.normal(0, 8, grey.shape)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, 2)


def random_sam(name: str, device: torch.device, seed: int = 0) -> Sam:
    """Return a frozen model of a shape ("vit_b", "vit_l", "vit_h", "tiny") with random weights."""
    with torch.device("meta"):  # upstream's own random weights would take half a minute
        sam = _tiny() if name == "tiny" else sam_model_registry[name]()
    sam.pixel_mean, sam.pixel_std = torch.tensor(MEAN), torch.tensor(STD)
    sam = sam.to_empty(device=device)
    sam.pixel_mean = torch.tensor(MEAN, device=device).view(-1, 1, 1)
    sam.pixel_std = torch.tensor(STD, device=device).view(-1, 1, 1)
    draw = torch.Generator(device).manual_seed(seed)
    with torch.no_grad():
        for where, value in (*sam.named_parameters(), *sam.named_buffers()):
            if not where.startswith("pixel_"):
                _fill(where, value, draw)
        for layer in sam.mask_decoder.output_upscaling:
            if isinstance(layer, nn.ConvTranspose2d):  # else masks are chequered
                layer.weight.copy_(layer.weight.mean((2, 3), keepdim=True).expand_as(layer.weight))
    sam.eval().requires_grad_(False)
    _calibrate(sam)
    return sam


def _fill(where: str, value: Tensor, draw: torch.Generator) -> None:
    """Draw one array of weights by what it is."""
    if "norm" in where or (value.ndim == 1 and where.endswith("weight")):
        value.fill_(1.0 if where.endswith("weight") else 0.0)
    elif where.endswith("bias"):
        value.zero_()
    elif "rel_pos" in where:
        value.normal_(0, 0.1, generator=draw)
    elif "pos_embed" in where:
        value.normal_(0, 0.02, generator=draw)
    elif LEARNED.search(where):
        value.normal_(0, 1, generator=draw)
    else:
        value.normal_(0, 1 / math.sqrt(value[0].numel()), generator=draw)


def _tiny() -> Sam:
    width, cells = 64, 16
    return Sam(
        image_encoder=ImageEncoderViT(
            img_size=256, embed_dim=32, depth=2, num_heads=2, out_chans=width, use_rel_pos=True,
            global_attn_indexes=(1,), window_size=14, norm_layer=partial(nn.LayerNorm, eps=1e-6),
        ),
        prompt_encoder=PromptEncoder(width, (cells, cells), (256, 256), 16),
        mask_decoder=MaskDecoder(
            transformer_dim=width,
            transformer=TwoWayTransformer(2, width, num_heads=4, mlp_dim=128),
        ),
    )  # fmt: skip


@torch.no_grad()
def _calibrate(sam: Sam) -> None:
    """Change the last layers of the decoder: logits spread around 0, and quality as `QUALITY`."""
    decoder: Any = sam.mask_decoder
    seen: list[Tensor] = []
    watch = decoder.output_upscaling.register_forward_hook(lambda *io: seen.append(io[2]))
    _answers(sam)
    watch.remove()
    # What all pixels have in common would make each mask all object or all background.
    common = nn.functional.normalize(seen[0].mean((0, 2, 3)), dim=0)
    for mlp in decoder.output_hypernetworks_mlps:
        weight = mlp.layers[-1].weight
        weight.sub_(common[:, None] * (common @ weight))
    quality, logits = _answers(sam)
    for mlp in decoder.output_hypernetworks_mlps:
        mlp.layers[-1].weight.mul_(LOGITS / logits.std())
    mean, spread = QUALITY
    head = decoder.iou_prediction_head.layers[-1]
    factor = spread / quality.std().clamp(min=1e-6)
    head.weight.mul_(factor)
    head.bias.fill_(mean).sub_(factor * quality.mean())


def _answers(sam: Sam) -> tuple[Tensor, Tensor]:
    """Return predicted quality and logits of 25 prompts on the micrograph."""
    side = sam.image_encoder.img_size
    predictor = SamPredictor(sam)
    predictor.set_image(micrograph(side))
    places = np.linspace(0.1, 0.9, 5) * side
    xy = torch.tensor([[[x, y]] for x in places for y in places], device=sam.device)
    labels = torch.ones(len(xy), 1, dtype=torch.int, device=sam.device)
    _, quality, logits = predictor.predict_torch(xy, labels, return_logits=True)
    return quality, logits
