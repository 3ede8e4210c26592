"""The prompt encoder: SAM's own, and clicks, box and previous mask as stride-4 maps."""

from __future__ import annotations

import math

import torch
from segment_anything.modeling import PromptEncoder
from torch import Tensor, nn
from torch.nn import functional as F

from napari_samstar.core.models.pocket.layout import (
    EMBED_DIM,
    IMAGE_SIZE,
    MASK_SIZE,
    PACK,
    PROMPT_MAPS,
    STRIDE,
    cell_centres,
)


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
        maps = prompt_maps(points, boxes, soft, count, grid, origin, dense.device)
        return sparse, torch.cat([dense, F.pixel_unshuffle(maps, PACK)], 1)

    def _sparse(
        self, points: tuple[Tensor, Tensor] | None, boxes: Tensor | None, count: int
    ) -> Tensor:
        parts = [torch.empty((count, 0, EMBED_DIM), device=self._get_device())]
        if points is not None:
            parts.append(self._embed_points(points[0], points[1], pad=boxes is None))
        if boxes is not None:
            parts.append(self._embed_boxes(boxes))
        return torch.cat(parts, 1)


def prompt_maps(
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
    rows = cell_centres(grid[0] * PACK, origin[0], device)
    cols = cell_centres(grid[1] * PACK, origin[1], device)
    maps = torch.zeros(count, PROMPT_MAPS, len(rows), len(cols), device=device)
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
