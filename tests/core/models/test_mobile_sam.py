from __future__ import annotations

import pytest
import torch

from napari_samstar.core.models.mobile_sam import build_mobile_sam, is_mobile_sam, to_timm
from tests.core.mobile_sam_layout import published_shapes


@pytest.fixture(scope="module")
def sam():
    return build_mobile_sam().eval()


def test_every_published_weight_finds_its_place(sam):
    published = {n: torch.empty(s, device="meta") for n, s in published_shapes().items()}
    assert is_mobile_sam(published)
    ours = {n: v.shape for n, v in sam.state_dict().items()}
    assert {n: v.shape for n, v in to_timm(published).items()} == ours


def test_the_published_size_is_that_of_the_layout():
    count = sum(torch.Size(s).numel() for s in published_shapes().values())
    assert 40_000_000 < 4 * count < 40_728_226


def test_stage_ends_become_stage_starts():
    marker = torch.zeros(1)
    renamed = to_timm(
        {
            "image_encoder.layers.1.downsample.conv2.c.weight": marker,
            "image_encoder.layers.2.blocks.5.local_conv.bn.bias": marker,
            "image_encoder.head.weight": marker,
            "image_encoder.neck.0.weight": marker,
            "mask_decoder.iou_token.weight": marker,
        }
    )
    assert list(renamed) == [
        "image_encoder.backbone.stages.2.downsample.conv2.conv.weight",
        "image_encoder.backbone.stages.2.blocks.5.local_conv.bn.bias",
        "image_encoder.neck.0.weight",
        "mask_decoder.iou_token.weight",
    ]
