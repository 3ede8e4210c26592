"""The bundled small SAM: architecture only, no weights and no I/O.

Built from `segment_anything.modeling`, so `SamPredictor` and `SamAutomaticMaskGenerator` run it
unchanged. Three things differ from Meta's SAM:

- The encoder is a small U-Net on a 512 px frame. Its stride-4 maps travel *packed* (space to
  depth) as extra channels of the image embedding, because the predictor hands on one tensor.
- The encoder also predicts dense maps (foreground, edge, centre heat, centre offset, size).
- The decoder relates every pixel to the prompt: does it point at the same object centre? Those
  relation maps feed both the two-way transformer and the mask head, which a model trained for
  hours on a CPU learns far sooner than attention alone.

Masks come at stride 2 (256 x 256), the size of SAM's own low-resolution logits.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from segment_anything.modeling.common import LayerNorm2d
from segment_anything.modeling.mask_decoder import MLP
from torch import Tensor, nn
from torch.nn import functional as F

IMAGE_SIZE = 512  # px, long side of the frame the encoder sees
STRIDE = 16  # px per cell of the image embedding
FINE_STRIDE = 4  # px per cell of the dense, fine and relation maps
MASK_SIZE = 256  # px, side of the low-resolution logits (stride 2)
EMBED_DIM = 128  # channels the transformer works on
DENSE = 6  # foreground, edge, centre heat, offset row, offset col, log size
FINE = 16  # learned stride-4 channels for the mask head
IDENTITY = 8  # learned stride-4 channels compared between the prompt and every pixel
SIZE_UNIT = 16.0  # px; sqrt(area) of an object whose predicted log size is 0

_PACK = STRIDE // FINE_STRIDE
_WIDTHS = (16, 32, 80, 160)  # channels at strides 2, 4, 8, 16
_PROMPT_MAPS = 8
_RELATIONS = 10 + _PROMPT_MAPS - 2
_HYPER = 32
_SUB = 4  # stride-2 pixels in one stride-4 cell
_TOKENS = 4
_MASK_STATS = 5
_CHUNK = 8  # prompts decoded at once: temporaries stay small enough for the allocator to reuse


class DenseMaps(NamedTuple):
    """What the encoder sees without any prompt, each (B, 128, 128) float in [0, 1], stride 4."""

    foreground: Tensor
    edge: Tensor
    centre: Tensor


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

    def forward(self, x: Tensor) -> Tensor:
        """Encode normalised images; see the class."""
        f2 = self.stage2(x)
        f4 = self.stage4(f2)
        f8 = self.stage8(f4)
        f16 = self.stage16(f8)
        fine = [f16, F.pixel_unshuffle(f8, 2), F.pixel_unshuffle(f4, 4)]
        coarse = self.neck_norm(self.neck(torch.cat(fine, 1)))
        m8 = self.merge8(_up2(self.top8(torch.cat([f16, coarse], 1))) + self.lateral8(f8))
        m4 = _up2(self.top4(m8)) + self.lateral4(torch.cat([f4, F.pixel_unshuffle(f2, 2)], 1))
        maps = self.heads(self.merge4(m4))
        return torch.cat([coarse, F.pixel_unshuffle(maps, _PACK)], 1)


def unpack(embedding: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Packed embedding -> (coarse, dense, fine, identity); the last three at stride 4."""
    maps = F.pixel_shuffle(embedding[:, EMBED_DIM:], _PACK)
    dense, fine, identity = torch.split(maps, [DENSE, FINE, IDENTITY], 1)
    return embedding[:, :EMBED_DIM], dense, fine, identity


def _log_spaced_frequencies(pairs: int, low: float = 0.5, high: float = 8.0) -> Tensor:
    """Spatial frequencies (2, pairs) in cycles per half frame, spread over all directions."""
    radius = low * (high / low) ** (torch.arange(pairs) / (pairs - 1))
    angle = torch.arange(pairs) * (math.pi * (3 - math.sqrt(5)))  # golden angle: no two alike
    return torch.stack([radius * angle.cos(), radius * angle.sin()])


class PocketPromptEncoder(PromptEncoder):  # type: ignore[misc]
    """SAM's prompt encoder, with stride-4 maps of clicks, box and mask packed beside the dense.

    `forward` keeps SAM's signature. Coordinates are SAM's (x, y) in the 512 px frame.
    """

    def __init__(self) -> None:
        grid = IMAGE_SIZE // STRIDE
        super().__init__(EMBED_DIM, (grid, grid), (IMAGE_SIZE, IMAGE_SIZE), mask_in_chans=16)
        self.mask_input_size = (MASK_SIZE, MASK_SIZE)
        self.mask_downscaling = nn.Conv2d(1, EMBED_DIM, kernel_size=8, stride=8)
        self.pe_layer.positional_encoding_gaussian_matrix = _log_spaced_frequencies(EMBED_DIM // 2)
        # Divides incoming logits; calibration multiplies logits and this alike.
        self.register_buffer("mask_softness", torch.tensor(4.0))

    def forward(
        self,
        points: tuple[Tensor, Tensor] | None,
        boxes: Tensor | None,
        masks: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Embed prompts for the whole frame; see `embed`."""
        return self.embed(points, boxes, masks)

    def embed(
        self,
        points: tuple[Tensor, Tensor] | None,
        boxes: Tensor | None,
        masks: Tensor | None,
        grid: tuple[int, int] = (IMAGE_SIZE // STRIDE, IMAGE_SIZE // STRIDE),
        origin: tuple[int, int] = (0, 0),
    ) -> tuple[Tensor, Tensor]:
        """Sparse (B, N, 128) and packed dense (B, 256, *grid) embeddings.

        `grid` (rows, cols) and `origin` (row, col), both in cells of 16 px, choose a window of the
        frame: training decodes small windows.
        """
        count = self._get_batch_size(points, boxes, masks)
        sparse = self._sparse(points, boxes, count)
        soft = None if masks is None else torch.tanh(masks / self.mask_softness)
        if soft is None:
            dense = self.no_mask_embed.weight.view(1, -1, 1, 1).expand(count, -1, *grid)
        else:
            dense = self.mask_downscaling(soft)
        maps = _prompt_maps(points, boxes, soft, count, grid, origin, dense.device)
        return sparse, torch.cat([dense, F.pixel_unshuffle(maps, _PACK)], 1)

    def _sparse(
        self, points: tuple[Tensor, Tensor] | None, boxes: Tensor | None, count: int
    ) -> Tensor:
        parts = [torch.empty((count, 0, EMBED_DIM), device=self._get_device())]
        if points is not None:
            parts.append(self._embed_points(points[0], points[1], pad=boxes is None))
        if boxes is not None:
            parts.append(self._embed_boxes(boxes))
        return torch.cat(parts, 1)


def _cell_centres(count: int, first: int, device: torch.device) -> Tensor:
    """Centres (count,) in px of stride-4 cells, `first` in cells of 16 px."""
    return first * STRIDE + FINE_STRIDE * (torch.arange(count, device=device) + 0.5)


def _prompt_maps(
    points: tuple[Tensor, Tensor] | None,
    boxes: Tensor | None,
    soft_mask: Tensor | None,
    count: int,
    grid: tuple[int, int],
    origin: tuple[int, int],
    device: torch.device,
) -> Tensor:
    """Prompts as maps (B, 8, H, W) at stride 4.

    0, 1: where the prompt looks (sums to 1) for foreground, background; 2, 3: closeness to the
    nearest foreground, background click; 4, 5: level inside the box, as rectangle and ellipse;
    6: box given; 7: previous mask in [-1, 1].
    """
    rows = _cell_centres(grid[0] * _PACK, origin[0], device)
    cols = _cell_centres(grid[1] * _PACK, origin[1], device)
    maps = torch.zeros(count, _PROMPT_MAPS, len(rows), len(cols), device=device)
    if soft_mask is not None:
        maps[:, 7] = F.avg_pool2d(soft_mask, 2)[:, 0]
        maps[:, 0] = maps[:, 7].clamp(min=0)
    if boxes is not None:
        maps[:, 0], maps[:, 4], maps[:, 5] = _box_maps(boxes, rows, cols)
        maps[:, 6] = 1.0
    if points is not None:
        _add_clicks(maps, points, rows, cols)
    total = maps[:, :2].sum((2, 3), keepdim=True)
    maps[:, :2] /= total.clamp(min=1e-6)
    return maps


def _box_maps(boxes: Tensor, rows: Tensor, cols: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gaussian look, rectangle level and ellipse level of boxes (B, 4) or (B, 1, 4) in xyxy px."""
    x0, y0, x1, y1 = (boxes.reshape(-1, 4) + 0.5).T[..., None]
    u = ((cols - (x0 + x1) / 2) / ((x1 - x0) / 2).clamp(min=1.0))[:, None, :]
    v = ((rows - (y0 + y1) / 2) / ((y1 - y0) / 2).clamp(min=1.0))[:, :, None]
    squared = u**2 + v**2
    look = torch.exp(-4 * squared) + 1e-6
    rectangle = (1 - torch.maximum(u.abs(), v.abs())).clamp(min=-1)
    return look, rectangle, (1 - squared).clamp(min=-1)


def _add_clicks(maps: Tensor, points: tuple[Tensor, Tensor], rows: Tensor, cols: Tensor) -> None:
    """Write the click maps into `maps`, in place; label 1 is foreground, 0 background."""
    coords, labels = points
    dx = coords[..., 0, None] + 0.5 - cols  # B x N x W
    dy = coords[..., 1, None] + 0.5 - rows  # B x N x H
    squared = dy[..., :, None] ** 2 + dx[..., None, :] ** 2  # B x N x H x W
    for slot, label in enumerate((1, 0)):
        chosen = (labels == label)[..., None, None]
        nearest = torch.where(chosen, squared, torch.inf).amin(1)
        maps[:, 2 + slot] = 1 / (1 + nearest.sqrt() / 8)
        look = (torch.exp(-squared / 18) * chosen).sum(1)
        clicked = chosen.any(1)
        maps[:, slot] = torch.where(clicked, look, maps[:, slot])


def _start_sub_pixels_alike(last: nn.Linear) -> None:
    for parameter in (last.weight, last.bias):
        first = parameter.data[:_HYPER].clone()
        parameter.data.copy_(torch.cat([first] * _SUB))


class PocketMaskDecoder(MaskDecoder):  # type: ignore[misc]
    """SAM's mask decoder, with relation maps between the prompt and every pixel.

    `predict_masks` takes one embedding for all prompts (as SAM), or one per prompt (training).
    """

    def __init__(self) -> None:
        transformer = TwoWayTransformer(2, EMBED_DIM, num_heads=4, mlp_dim=256)
        super().__init__(transformer_dim=EMBED_DIM, transformer=transformer)
        up = EMBED_DIM // 8
        self.relation = nn.Sequential(nn.Conv2d(_RELATIONS, 16, 1), nn.ReLU())
        self.relation_coarse = nn.Conv2d(16, EMBED_DIM, _PACK, stride=_PACK)
        self.mix_up = nn.Conv2d(up, _HYPER, 1)
        self.mix_fine = nn.Conv2d(FINE, _HYPER, 1)
        self.mix_relation = nn.Conv2d(16, _HYPER, 1)
        hyper = [MLP(EMBED_DIM, EMBED_DIM, _SUB * _HYPER, 3) for _ in range(_TOKENS)]
        for mlp in hyper:
            _start_sub_pixels_alike(mlp.layers[-1])
        self.output_hypernetworks_mlps = nn.ModuleList(hyper)
        self.iou_prediction_head = MLP(EMBED_DIM + _TOKENS * _MASK_STATS, 256, _TOKENS, 3)

    def predict_masks(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """All four masks (B, 4, 2H, 2W) at stride 2, and their predicted IoU (B, 4)."""
        if image_embeddings.shape[0] > 1:
            return self._decode(
                image_embeddings, image_pe, sparse_prompt_embeddings, dense_prompt_embeddings
            )
        chunks = zip(
            torch.split(sparse_prompt_embeddings, _CHUNK),
            torch.split(dense_prompt_embeddings, _CHUNK),
            strict=True,
        )
        decoded = [self._decode(image_embeddings, image_pe, *chunk) for chunk in chunks]
        masks, iou = zip(*decoded, strict=True)
        return torch.cat(masks), torch.cat(iou)

    def _decode(
        self, embedding: Tensor, image_pe: Tensor, sparse: Tensor, dense_prompt: Tensor
    ) -> tuple[Tensor, Tensor]:
        count = sparse.shape[0]
        coarse, dense, fine, identity = unpack(embedding)
        maps = F.pixel_shuffle(dense_prompt[:, EMBED_DIM:], _PACK)
        related = relate(dense, identity, maps)  # B x 16 x H x W
        hidden = self.relation(related)
        src = coarse + dense_prompt[:, :EMBED_DIM] + self.relation_coarse(hidden)
        output = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([output.expand(count, -1, -1), sparse], 1)
        pe = image_pe.expand(count, -1, -1, -1)
        out, src_out = self.transformer(src, pe, tokens)
        up = self.output_upscaling(src_out.transpose(1, 2).reshape(src.shape))
        features = F.relu(self.mix_up(up) + self.mix_fine(fine) + self.mix_relation(hidden))
        masks = self._hyper_masks(out[:, 1 : 1 + _TOKENS], features)
        stats = _mask_stats(masks.detach(), related.detach())
        iou = self.iou_prediction_head(torch.cat([out[:, 0], stats], 1))
        return masks, iou

    def _hyper_masks(self, tokens: Tensor, features: Tensor) -> Tensor:
        b, c, h, w = features.shape
        weights = [mlp(tokens[:, i]) for i, mlp in enumerate(self.output_hypernetworks_mlps)]
        hyper = torch.stack(weights, 1).view(b, _TOKENS * _SUB, c)
        return F.pixel_shuffle((hyper @ features.flatten(2)).view(b, -1, h, w), 2)


def relate(dense: Tensor, identity: Tensor, maps: Tensor) -> Tensor:
    """Relation maps (B, 16, H, W) between each prompt and every stride-4 cell.

    A cell at q with predicted size s_q (px) and offset o_q (in sizes) votes for the centre
    c_q = q + s_q o_q. The prompt's centre c_p and size s_p are those votes averaged where it looks.
    `dense` and `identity` have batch 1 or B; `maps` is `_prompt_maps`.
    """
    rows = _cell_centres(maps.shape[2], 0, maps.device).view(1, 1, -1, 1)
    cols = _cell_centres(maps.shape[3], 0, maps.device).view(1, 1, 1, -1)
    log_size = dense[:, 5:6].clamp(-2.5, 3.5)
    size = SIZE_UNIT * log_size.exp()
    votes = torch.cat([rows + size * dense[:, 3:4], cols + size * dense[:, 4:5]], 1)
    told = torch.cat([votes, log_size, identity], 1)  # (1 or B) x 11 x H x W
    asked = maps[:, :2].flatten(2) @ told.flatten(2).transpose(1, 2)  # B x 2 x 11
    near, near_background = (_vote_distance(votes, asked[:, i]) for i in (0, 1))
    here = torch.cat([rows.expand_as(size), cols.expand_as(size)], 1)
    has_background = maps[:, 1:2].amax((2, 3), keepdim=True) > 0
    alike = (identity - asked[:, 0, 3:, None, None]).square()
    half = IDENTITY // 2
    channels = [
        torch.exp(-8 * near.square()),
        1 / (1 + near),
        1 / (1 + _vote_distance(here, asked[:, 0])),
        torch.tanh(log_size - asked[:, 0, 2:3, None, None]),
        torch.exp(-alike[:, :half].sum(1, keepdim=True)),
        torch.exp(-alike[:, half:].sum(1, keepdim=True)),
        torch.tanh(dense[:, 0:1] / 4).expand_as(near),
        torch.tanh(dense[:, 1:2] / 4).expand_as(near),
        torch.exp(-8 * near_background.square()) * has_background,
        has_background / (1 + near_background),
        maps[:, 2:],
    ]
    return torch.cat(channels, 1)


def _vote_distance(votes: Tensor, asked: Tensor) -> Tensor:
    """Distance (B, 1, H, W) of votes from the asked centre, in units of the asked size."""
    delta = votes - asked[:, :2, None, None]
    size = SIZE_UNIT * asked[:, 2, None, None, None].exp()
    return (delta.square().sum(1, keepdim=True) + 1e-4).sqrt() / size


def _mask_stats(masks: Tensor, related: Tensor) -> Tensor:
    """Describe each mask in five numbers (B, 4 * 5), so that its quality is judged on itself.

    Per mask: log area, sharpness (soft over hard overlap), mean foreground, mean and recall of
    the cells that vote for the prompt's centre.
    """
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


class Pocket(Sam):  # type: ignore[misc]
    """SAM with the small encoder; everything else as in `segment_anything`."""

    def dense_maps(self, features: Tensor) -> DenseMaps:
        """Prompt-free maps from an image embedding (as `SamPredictor.features`).

        Centres of objects are local maxima of `centre`, in cells of 4 px of the 512 px frame.
        """
        foreground, edge, centre = torch.sigmoid(unpack(features)[1][:, :3]).unbind(1)
        return DenseMaps(foreground, edge, centre)


def build_pocket() -> Pocket:
    """Build the pocket model with random weights, in eval mode."""
    model = Pocket(PocketEncoder(), PocketPromptEncoder(), PocketMaskDecoder())
    model.eval()
    return model
