"""Every mask that is proposed for one crop: SAM's answers to prompts, and masks that were given."""

from __future__ import annotations

from collections.abc import Sequence
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
    """Every mask that is proposed for one crop: n = 3 per point prompt, 1 per box or given mask.

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
        The centre of its own box for a mask that was given.
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
        The box (x0, y0, x1, y1), px of the crop, that each mask was prompted with; NaN for a mask
        that was not. None where no mask was.
    given : ndarray of bool, shape (n,), optional
        Which masks are not SAM's but were given, see `prompts.base.GivenMasks`. None: none is.
    probability : Tensor, float32, shape (n,), optional
        Probability to be an object, where the model's maps tell; see `likelihood`.
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
    given: NDArray[np.bool_] | None = None
    probability: torch.Tensor | None = None

    def to(self, device: torch.device) -> Candidates:
        """Return the candidates on another device; points stay on the CPU."""
        moved = ("predicted_iou", "stability", "boxes", "near_edge", "batch")
        p = None if self.probability is None else self.probability.to(device)
        return replace(
            self, probability=p, **{name: getattr(self, name).to(device) for name in moved}
        )

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
            given=None if self.given is None else self.given[host.numpy()],
            probability=None if self.probability is None else self.probability[here],
        )


def joined(parts: Sequence[Candidates]) -> Candidates:
    """Return the candidates of several sets of prompts for the same crop in one table."""
    if len(parts) == 1:
        return parts[0]
    firsts = np.cumsum([0, *(part.n_batches for part in parts)]).tolist()
    boxed = [part for part in parts if part.prompt_boxes is not None]
    given = [part for part in parts if part.given is not None]
    return Candidates(
        crop_box=parts[0].crop_box,
        masks=tuple(mask for part in parts for mask in part.masks),
        points=torch.cat([part.points for part in parts]),
        predicted_iou=torch.cat([part.predicted_iou for part in parts]),
        stability=torch.cat([part.stability for part in parts], dim=1),
        boxes=torch.cat([part.boxes for part in parts]),
        near_edge=torch.cat([part.near_edge for part in parts]),
        batch=torch.cat([p.batch + first for p, first in zip(parts, firsts[:-1], strict=True)]),
        n_batches=firsts[-1],
        n_prompts=sum(part.n_prompts for part in parts),
        prompt_boxes=np.concatenate([_prompt_boxes(part) for part in parts]) if boxed else None,
        given=np.concatenate([_given(part) for part in parts]) if given else None,
    )


def _prompt_boxes(part: Candidates) -> NDArray[np.float64]:
    boxes = part.prompt_boxes
    return np.full((len(part.masks), 4), np.nan) if boxes is None else boxes


def _given(part: Candidates) -> NDArray[np.bool_]:
    return np.zeros(len(part.masks), dtype=bool) if part.given is None else part.given
