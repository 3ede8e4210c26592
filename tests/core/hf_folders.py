"""Folders in Hugging Face's format with tiny SAM 2.1 and SAM-HQ of random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

SIDE = 64  # of the frame
WIDTH = 32


def save_tiny(kind: str, folder: Path, side: int = SIDE) -> Any:
    """Write a tiny model of a kind, "sam2" or "sam_hq", and return the network."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = _tiny_sam2(side) if kind == "sam2" else _tiny_sam_hq(side)
        for parameter in network.parameters():  # some are 0 at first, or nearly
            torch.nn.init.normal_(parameter, std=0.2)
    network.save_pretrained(folder)
    return network.eval()


def _decoder(**more: Any) -> dict[str, Any]:
    return dict(
        hidden_size=WIDTH, mlp_dim=32, num_attention_heads=2, iou_head_hidden_dim=16, **more
    )


def _prompts(side: int) -> dict[str, Any]:
    return {"hidden_size": WIDTH, "image_size": side, "patch_size": 16, "mask_input_channels": 8}


def _tiny_sam2(side: int) -> Any:
    from transformers import Sam2Config, Sam2HieraDetConfig, Sam2Model, Sam2VisionConfig

    widths = [8, 16, 32, 64]
    backbone = Sam2HieraDetConfig(
        hidden_size=8,
        image_size=[side, side],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=widths,
        num_attention_heads_per_stage=[1, 1, 1, 1],
        window_size_per_stage=[4, 4, 4, 2],
        window_positional_embedding_background_size=[4, 4],
        global_attention_blocks=[3],
    )
    vision = Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=widths[::-1],
        backbone_feature_sizes=[[side // s, side // s] for s in (4, 8, 16)],
        fpn_hidden_size=WIDTH,
    )
    config = Sam2Config(
        vision_config=vision,
        prompt_encoder_config=_prompts(side),
        mask_decoder_config=_decoder(),
    )
    return Sam2Model(config)


def _tiny_sam_hq(side: int) -> Any:
    from transformers import SamHQConfig, SamHQModel

    vision = {
        "hidden_size": 16,
        "output_channels": WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": side,
        "patch_size": 16,
        "window_size": 2,
        "global_attn_indexes": [1],
        "num_pos_feats": WIDTH // 2,
        "mlp_dim": 32,
    }
    config = SamHQConfig(
        vision_config=vision,
        prompt_encoder_config=_prompts(side),
        mask_decoder_config=_decoder(vit_dim=16),
    )
    return SamHQModel(config)
