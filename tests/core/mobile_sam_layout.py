"""Names and shapes of the published MobileSAM checkpoint, written down apart from the code."""

from __future__ import annotations

import torch
from segment_anything import sam_model_registry

WIDTHS, DEPTHS, HEADS, WINDOWS = (64, 128, 160, 320), (2, 2, 6, 2), (2, 4, 5, 10), (7, 7, 14, 7)


def _conv(name, cout, cin, kernel):
    shapes = {f"{name}.c.weight": (cout, cin, kernel, kernel), f"{name}.bn.num_batches_tracked": ()}
    parts = ("weight", "bias", "running_mean", "running_var")
    return shapes | {f"{name}.bn.{p}": (cout,) for p in parts}


def _linear(name, cout, cin):
    return {f"{name}.weight": (cout, cin), f"{name}.bias": (cout,)}


def _norm(name, width):
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _attention_block(name, width, heads, window):
    return {
        f"{name}.attn.attention_biases": (heads, window**2),
        **_norm(f"{name}.attn.norm", width),
        **_linear(f"{name}.attn.qkv", 3 * width, width),
        **_linear(f"{name}.attn.proj", width, width),
        **_norm(f"{name}.mlp.norm", width),
        **_linear(f"{name}.mlp.fc1", 4 * width, width),
        **_linear(f"{name}.mlp.fc2", width, 4 * width),
        **_conv(f"{name}.local_conv", width, 1, 3),
    }


def _conv_block(name, width):
    return {
        **_conv(f"{name}.conv1", 4 * width, width, 1),
        **_conv(f"{name}.conv2", 4 * width, 1, 3),
        **_conv(f"{name}.conv3", width, 4 * width, 1),
    }


def _encoder():
    shapes = _conv("patch_embed.seq.0", 32, 3, 3) | _conv("patch_embed.seq.2", 64, 32, 3)
    for i, (width, depth) in enumerate(zip(WIDTHS, DEPTHS, strict=True)):
        for j in range(depth):
            block = f"layers.{i}.blocks.{j}"
            if i == 0:
                shapes |= _conv_block(block, width)
            else:
                shapes |= _attention_block(block, width, HEADS[i], WINDOWS[i])
        if i < 3:
            down = f"layers.{i}.downsample"
            shapes |= _conv(f"{down}.conv1", WIDTHS[i + 1], width, 1)
            shapes |= _conv(f"{down}.conv2", WIDTHS[i + 1], 1, 3)
            shapes |= _conv(f"{down}.conv3", WIDTHS[i + 1], WIDTHS[i + 1], 1)
    shapes |= _norm("norm_head", 320) | _linear("head", 1000, 320)
    shapes |= {"neck.0.weight": (256, 320, 1, 1), "neck.2.weight": (256, 256, 3, 3)}
    return shapes | _norm("neck.1", 256) | _norm("neck.3", 256)


def published_shapes():
    """Return name -> shape of all 439 entries."""
    with torch.device("meta"):
        meta = sam_model_registry["vit_b"]().state_dict()
    rest = {n: tuple(v.shape) for n, v in meta.items() if not n.startswith("image_encoder.")}
    return {f"image_encoder.{n}": s for n, s in _encoder().items()} | rest


def random_weights(seed=0):
    """Return weights of that layout with values that a network can run on."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in published_shapes().items():
        if name.endswith("num_batches_tracked"):
            weights[name] = torch.tensor(7)
        else:
            weights[name] = torch.rand(shape, generator=generator) * 0.02 + 0.01
    return weights
