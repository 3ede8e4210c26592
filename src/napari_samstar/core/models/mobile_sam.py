"""MobileSAM: SAM's prompt encoder and mask decoder behind timm's TinyViT.

Zhang et al., "Faster Segment Anything: Towards Lightweight SAM for Mobile Applications" (2023).
The published weights use the names of TinyViT's first release; `to_timm` renames them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from segment_anything.modeling.common import LayerNorm2d
from torch import Tensor, nn

IMAGE_SIZE = 1024  # px, side of the padded input
PATCH = 16  # px per cell of the embedding
EMBED_DIM = 256

_LAST_WIDTH = 320  # channels of TinyViT-5M's last stage
_MARK = "image_encoder.patch_embed.seq.0.c.weight"


class TinyVitEncoder(nn.Module):
    """TinyViT-5M whose last stage stays at stride 16, and SAM's neck.

    Maps float32 (B, 3, 1024, 1024) to (B, 256, 64, 64).
    """

    def __init__(self) -> None:
        super().__init__()
        import timm  # takes seconds to import

        self.img_size = IMAGE_SIZE  # read by SamPredictor
        self.backbone = timm.create_model("tiny_vit_5m_224", pretrained=False, num_classes=0)
        self.backbone.head = nn.Identity()
        self.backbone.stages[3].downsample.conv2.conv.stride = (1, 1)
        self.neck = nn.Sequential(
            nn.Conv2d(_LAST_WIDTH, EMBED_DIM, kernel_size=1, bias=False),
            LayerNorm2d(EMBED_DIM),
            nn.Conv2d(EMBED_DIM, EMBED_DIM, kernel_size=3, padding=1, bias=False),
            LayerNorm2d(EMBED_DIM),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Encode a normalised, padded image batch."""
        embedding: Tensor = self.neck(self.backbone.forward_features(x))
        return embedding


def build_mobile_sam() -> Sam:
    """Return MobileSAM with untrained weights."""
    side = IMAGE_SIZE // PATCH
    return Sam(
        image_encoder=TinyVitEncoder(),
        prompt_encoder=PromptEncoder(
            embed_dim=EMBED_DIM,
            image_embedding_size=(side, side),
            input_image_size=(IMAGE_SIZE, IMAGE_SIZE),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(
                depth=2, embedding_dim=EMBED_DIM, mlp_dim=2048, num_heads=8
            ),
            transformer_dim=EMBED_DIM,
            iou_head_depth=3,
            iou_head_hidden_dim=256,
        ),
    )


def is_mobile_sam(weights: Mapping[str, Tensor]) -> bool:
    """Return whether the names are those of a published MobileSAM checkpoint."""
    return _MARK in weights


def to_timm(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the published weights for `build_mobile_sam`; the unused classifier head is left out.

    TinyViT's first release ends a stage with its downsampling, timm begins the next with it.
    """
    renamed = {}
    for name, value in weights.items():
        part, _, rest = name.partition(".")
        if part != "image_encoder" or rest.startswith("neck."):
            renamed[name] = value
        elif not rest.startswith(("head.", "norm_head.")) and "attention_bias_idxs" not in rest:
            renamed[f"image_encoder.backbone.{_timm_name(rest)}"] = value
    return renamed


def _timm_name(name: str) -> str:
    name = re.sub(
        r"^layers\.(\d+)\.downsample\.",
        lambda found: f"stages.{int(found[1]) + 1}.downsample.",
        name,
    )
    name = re.sub(r"^layers\.", "stages.", name)
    name = name.replace("patch_embed.seq.0.", "patch_embed.conv1.")
    name = name.replace("patch_embed.seq.2.", "patch_embed.conv2.")
    return re.sub(r"\.c\.weight$", ".conv.weight", name)
