"""The image encoder: a small U-Net whose stride-4 maps travel packed in the embedding."""

from __future__ import annotations

from typing import Any

import torch
from segment_anything.modeling.common import LayerNorm2d
from torch import Tensor, nn
from torch.nn import functional as F

from napari_samstar.core.models.pocket.layout import (
    DENSE,
    EMBED_DIM,
    FINE,
    IDENTITY,
    IMAGE_SIZE,
    PACK,
)

_WIDTHS = (16, 32, 80, 160)  # channels at strides 2, 4, 8, 16


class _ResidualBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(width // 8, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(width // 8, width)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(x + self.norm2(self.conv2(y)))


class _AttentionBlock(nn.Module):
    """Global self-attention; a depthwise convolution tells positions apart at any frame size."""

    def __init__(self, width: int, heads: int = 5) -> None:
        super().__init__()
        self.heads = heads
        self.position = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        x = x + self.position(x)
        t: Tensor = x.flatten(2).transpose(1, 2)  # B x HW x C
        qkv = self.qkv(self.norm1(t)).view(b, h * w, 3, self.heads, c // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each B x heads x HW x C/heads
        attended = F.scaled_dot_product_attention(q, k, v)
        t = t + self.out(attended.transpose(1, 2).reshape(b, h * w, c))
        t = t + self.mlp(self.norm2(t))
        out: Tensor = t.transpose(1, 2).reshape(b, c, h, w)
        return out


class _AddedBlock(nn.Module):
    """A residual block that is the identity at first, so that trained weights can grow deeper."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(width // 8, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(width // 8, width)
        nn.init.zeros_(self.norm2.weight)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        out: Tensor = x + self.norm2(self.conv2(y))
        return out


def _added_attention(width: int) -> _AttentionBlock:
    """Return an attention block that is the identity at first."""
    block = _AttentionBlock(width)
    last = block.mlp[2]
    assert isinstance(last, nn.Linear)
    for layer in (block.position, block.out, last):
        nn.init.zeros_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return block


def _down(cin: int, cout: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(cin, cout, 3, stride=2, padding=1, bias=False),
        nn.GroupNorm(cout // 8, cout),
        nn.ReLU(),
    )


def _up2(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


class PocketEncoder(nn.Module):
    """Image (B, 3, H, W), H and W multiples of 16 -> packed embedding (B, 608, H/16, W/16).

    Channels: `EMBED_DIM` for the transformer, then the stride-4 maps (dense, fine, identity)
    packed 4 x 4 into depth; `unpack` takes them apart.
    """

    img_size = IMAGE_SIZE

    def __init__(self) -> None:
        super().__init__()
        c2, c4, c8, c16 = _WIDTHS
        self.stage2 = nn.Sequential(_down(3, c2), _ResidualBlock(c2))
        self.stage4 = nn.Sequential(_down(c2, c4), _ResidualBlock(c4), _ResidualBlock(c4))
        self.stage8 = nn.Sequential(_down(c4, c8), _ResidualBlock(c8), _ResidualBlock(c8))
        self.stage16 = nn.Sequential(
            _down(c8, c16),
            _ResidualBlock(c16),
            _ResidualBlock(c16),
            _AttentionBlock(c16),
            _ResidualBlock(c16),
            _AttentionBlock(c16),
        )
        self.neck = nn.Conv2d(c16 + 4 * c8 + 16 * c4, EMBED_DIM, 1)
        self.neck_norm = LayerNorm2d(EMBED_DIM)
        self.lateral8 = nn.Conv2d(c8, 64, 1)
        self.top8 = nn.Conv2d(c16 + EMBED_DIM, 64, 1)
        self.merge8 = _ResidualBlock(64)
        self.lateral4 = nn.Conv2d(c4 + 4 * c2, 32, 1)
        self.top4 = nn.Conv2d(64, 32, 1)
        self.merge4 = nn.Sequential(_ResidualBlock(32), _ResidualBlock(32))
        self.heads = nn.Conv2d(32, DENSE + FINE + IDENTITY, 1)
        self.deeper = nn.ModuleDict(
            {
                "f4": _AddedBlock(c4),
                "f8": nn.Sequential(*(_AddedBlock(c8) for _ in range(3))),
                "f16": nn.Sequential(
                    _AddedBlock(c16), _AddedBlock(c16), _AddedBlock(c16), _added_attention(c16)
                ),
                "m8": _AddedBlock(64),
                "m4": _AddedBlock(32),
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        """Encode normalised images; see the class."""
        f2 = self.stage2(x)
        f4 = self.deeper["f4"](self.stage4(f2))
        f8 = self.deeper["f8"](self.stage8(f4))
        f16 = self.deeper["f16"](self.stage16(f8))
        fine = [f16, F.pixel_unshuffle(f8, 2), F.pixel_unshuffle(f4, 4)]
        coarse = self.neck_norm(self.neck(torch.cat(fine, 1)))
        m8 = self.merge8(_up2(self.top8(torch.cat([f16, coarse], 1))) + self.lateral8(f8))
        m8 = self.deeper["m8"](m8)
        m4 = _up2(self.top4(m8)) + self.lateral4(torch.cat([f4, F.pixel_unshuffle(f2, 2)], 1))
        maps = self.heads(self.deeper["m4"](self.merge4(m4)))
        return torch.cat([coarse, F.pixel_unshuffle(maps, PACK)], 1)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        """Accept weights from before `deeper`: its blocks are then the identity, as built."""
        for name, value in self.deeper.state_dict(prefix="deeper.").items():
            state_dict.setdefault(f"{prefix}{name}", value)
        super()._load_from_state_dict(state_dict, prefix, *rest)
