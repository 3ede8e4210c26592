"""Every mask that SAM proposes for one crop and one set of prompts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_samstar.core.masks.store import PackedMask

CropBox = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Candidates:
    """Every mask that SAM proposes for one crop: n = 3 per point prompt, 1 per box prompt.

    Tensors lie on the model's device, in upstream's order, frame and dtype, because exactness
    rests on comparing the same numbers in the same type.

    Attributes
    ----------
    crop_box : (x0, y0, x1, y1)
        The crop, px of the image.
    masks : tuple of PackedMask, length n
        In the frame of the image.
    points : Tensor, float64, shape (n, 2)
        Where each mask's prompt lies (x, y), px of the crop: its first point, or its box's centre.
    predicted_iou : Tensor, float32, shape (n,)
    stability : Tensor, float32, shape (N_OFFSETS, n)
        Stability score at each rung of the ladder; NaN where a mask is empty.
    boxes : Tensor, int64, shape (n, 4)
        (x0, y0, x1, y1), inclusive, px of the crop; zeros for an empty mask.
    near_edge : Tensor, bool, shape (n,)
        The box touches the crop's edge where that is not the image's.
    batch : Tensor, int64, shape (n,)
        The decoder batch a candidate came from.
    n_batches : int
    n_prompts : int
        How many prompts were decoded.
    prompt_boxes : ndarray of float64, shape (n, 4), optional
        The box (x0, y0, x1, y1), px of the crop, that each mask was prompted with.
    """

    crop_box: CropBox
    masks: tuple[PackedMask, ...]
    points: torch.Tensor
    predicted_iou: torch.Tensor
    stability: torch.Tensor
    boxes: torch.Tensor
    near_edge: torch.Tensor
    batch: torch.Tensor
    n_batches: int
    n_prompts: int
    prompt_boxes: NDArray[np.float64] | None = None

    def to(self, device: torch.device) -> Candidates:
        """Return the candidates on another device; points stay on the CPU."""
        moved = ("predicted_iou", "stability", "boxes", "near_edge", "batch")
        return replace(self, **{name: getattr(self, name).to(device) for name in moved})

    def take(self, rows: torch.Tensor) -> Candidates:
        """Return the candidates at `rows`, int64."""
        here, host = rows.to(self.boxes.device), rows.cpu()
        return replace(
            self,
            masks=tuple(self.masks[k] for k in host.tolist()),
            points=self.points[host],
            predicted_iou=self.predicted_iou[here],
            stability=self.stability[:, here],
            boxes=self.boxes[here],
            near_edge=self.near_edge[here],
            batch=self.batch[here],
            prompt_boxes=None if self.prompt_boxes is None else self.prompt_boxes[host.numpy()],
        )
