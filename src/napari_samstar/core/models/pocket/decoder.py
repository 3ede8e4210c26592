"""The mask decoder: SAM's two-way transformer, fed with relation maps and stride-4 features."""

from __future__ import annotations

from typing import Any

import torch
from segment_anything.modeling import MaskDecoder, TwoWayTransformer
from segment_anything.modeling.mask_decoder import MLP
from torch import Tensor, nn
from torch.nn import functional as F

from napari_samstar.core.models.pocket.layout import EMBED_DIM, FINE, PACK, unpack
from napari_samstar.core.models.pocket.relations import RELATIONS, relate

_HYPER = 32
_SUB = 4  # stride-2 pixels in one stride-4 cell
_TOKENS = 4
_MASK_STATS = 5


def _start_sub_pixels_alike(last: nn.Linear) -> None:
    for parameter in (last.weight, last.bias):
        first = parameter.data[:_HYPER].clone()
        parameter.data.copy_(torch.cat([first] * _SUB))


class _Refinement(nn.Module):
    """Add what the neighbouring cells say to each cell's features; the identity at first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.around = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.mix = nn.Conv2d(width, width, 1)
        for parameter in self.mix.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.mix(F.relu(self.around(F.relu(x))))
        return out


class PocketMaskDecoder(MaskDecoder):  # type: ignore[misc]
    """SAM's mask decoder, with relation maps between the prompt and every pixel.

    `predict_masks` takes one embedding for all prompts (as SAM), or one per prompt (training).

    Attributes
    ----------
    at_once : int
        Prompts decoded at once; by default so few that the allocator can reuse temporaries on a
        CPU.
    """

    at_once: int = 8

    def __init__(self) -> None:
        transformer = TwoWayTransformer(2, EMBED_DIM, num_heads=4, mlp_dim=256)
        super().__init__(transformer_dim=EMBED_DIM, transformer=transformer)
        up = EMBED_DIM // 8
        self.relation = nn.Sequential(nn.Conv2d(RELATIONS, 16, 1), nn.ReLU())
        self.relation_coarse = nn.Conv2d(16, EMBED_DIM, PACK, stride=PACK)
        self.mix_up = nn.Conv2d(up, _HYPER, 1)
        self.mix_fine = nn.Conv2d(FINE, _HYPER, 1)
        self.mix_relation = nn.Conv2d(16, _HYPER, 1)
        self.refine = nn.ModuleList(_Refinement(_HYPER) for _ in range(2))
        hyper = [MLP(EMBED_DIM, EMBED_DIM, _SUB * _HYPER, 3) for _ in range(_TOKENS)]
        for mlp in hyper:
            _start_sub_pixels_alike(mlp.layers[-1])
        self.output_hypernetworks_mlps = nn.ModuleList(hyper)
        self.iou_prediction_head = MLP(EMBED_DIM + _TOKENS * _MASK_STATS, 256, _TOKENS, 3)
        # Set by calibration: SAM's default thresholds give the best F1 on validation images.
        self.register_buffer("sharpness", torch.tensor(1.0))
        self.register_buffer("quality_power", torch.tensor(1.0))

    def predict_masks(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """All four masks (B, 4, 2H, 2W) at stride 2, and their predicted quality (B, 4).

        Logits are multiplied by `sharpness` at the very end: what judges masks sees them as they
        were trained. The quality is the predicted IoU in training, else that to the
        `quality_power`, in [0, 1].
        """
        if image_embeddings.shape[0] > 1:
            return self.decode_each(
                image_embeddings, image_pe, sparse_prompt_embeddings, dense_prompt_embeddings
            )
        chunks = zip(
            torch.split(sparse_prompt_embeddings, self.at_once),
            torch.split(dense_prompt_embeddings, self.at_once),
            strict=True,
        )
        decoded = [self._decode(image_embeddings, image_pe, *chunk) for chunk in chunks]
        return (
            self.sharpness * torch.cat([masks for masks, _ in decoded]),
            self._quality(torch.cat([iou for _, iou in decoded])),
        )

    def decode_each(
        self, embeddings: Tensor, image_pe: Tensor, sparse: Tensor, dense: Tensor
    ) -> tuple[Tensor, Tensor]:
        """As `predict_masks`, with one embedding for each prompt, all decoded at once."""
        masks, iou = self._decode(embeddings, image_pe, sparse, dense)
        return self.sharpness * masks, self._quality(iou)

    def _quality(self, iou: Tensor) -> Tensor:
        """Map predicted IoU monotonously into [0, 1]; its lowest value is not 0, for gradients."""
        return iou if self.training else iou.clamp(1e-4, 1) ** self.quality_power

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        """Accept weights of training runs from before calibration had a place of its own."""
        for name in ("sharpness", "quality_power"):
            state_dict.setdefault(f"{prefix}{name}", torch.tensor(1.0))
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _decode(
        self, embedding: Tensor, image_pe: Tensor, sparse: Tensor, dense_prompt: Tensor
    ) -> tuple[Tensor, Tensor]:
        count = sparse.shape[0]
        coarse, dense, fine, identity = unpack(embedding)
        maps = F.pixel_shuffle(dense_prompt[:, EMBED_DIM:], PACK)
        related = relate(dense, identity, maps)  # B x 16 x H x W
        hidden = self.relation(related)
        src = coarse + dense_prompt[:, :EMBED_DIM] + self.relation_coarse(hidden)
        output = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([output.expand(count, -1, -1), sparse], 1)
        pe = image_pe.expand(count, -1, -1, -1)  # already of each prompt, or shared
        out, src_out = self.transformer(src, pe, tokens)
        up = self.output_upscaling(src_out.transpose(1, 2).reshape(src.shape))
        features = self.mix_up(up) + self.mix_fine(fine) + self.mix_relation(hidden)
        for refinement in self.refine:
            features = refinement(features)
        features = F.relu(features)
        masks = self._hyper_masks(out[:, 1 : 1 + _TOKENS], features)
        stats = _mask_stats(masks.detach(), related.detach())
        iou = self.iou_prediction_head(torch.cat([out[:, 0], stats], 1))
        return masks, iou

    def _hyper_masks(self, tokens: Tensor, features: Tensor) -> Tensor:
        b, c, h, w = features.shape
        weights = [mlp(tokens[:, i]) for i, mlp in enumerate(self.output_hypernetworks_mlps)]
        hyper = torch.stack(weights, 1).view(b, _TOKENS * _SUB, c)
        return F.pixel_shuffle((hyper @ features.flatten(2)).view(b, -1, h, w), 2)


def _mask_stats(masks: Tensor, related: Tensor) -> Tensor:
    """Describe each mask in five numbers (B, 4 * 5), so that its quality is judged on itself.

    Per mask: log area, sharpness (soft over hard overlap), mean foreground, mean and recall of
    the cells that vote for the prompt's centre. Always in float32, as areas have more digits than
    bfloat16.
    """
    with torch.autocast(masks.device.type, enabled=False):
        return _stats(masks.float(), related.float())


def _stats(masks: Tensor, related: Tensor) -> Tensor:
    soft = torch.sigmoid(masks[:, :, ::2, ::2]).flatten(2)  # B x 4 x HW
    hard = (soft > 0.5).to(soft)
    area = soft.sum(2) + 1e-3
    same = related[:, 0].flatten(1)[..., None]
    foreground = related[:, 6].flatten(1)[..., None]
    agreed = (soft @ same)[..., 0]
    stats = [
        area.log() / 4 - 1,
        (soft * hard).sum(2) / (torch.maximum(soft, hard).sum(2) + 1e-3),
        (soft @ foreground)[..., 0] / area,
        agreed / area,
        agreed / (same.sum(1) + 1e-3),
    ]
    return torch.stack(stats, 2).flatten(1)
