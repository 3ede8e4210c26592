"""What one batch of prompts gives, and how the stability of its masks is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from napari_samstar.core.amg.ladder import N_OFFSETS, OFFSET_STEP

if TYPE_CHECKING:
    from napari_samstar.core.masks.store import PackedMask


@dataclass
class Batch:
    """The n masks of one batch of prompts; fields as in `Candidates`."""

    masks: list[PackedMask]
    predicted_iou: torch.Tensor
    stability: torch.Tensor
    boxes: torch.Tensor

    def put(self, rows: NDArray[np.int64], other: Batch) -> None:
        """Replace some rows by those of another batch."""
        for row, mask in zip(rows.tolist(), other.masks, strict=True):
            self.masks[row] = mask
        at = torch.from_numpy(rows).to(self.boxes.device)
        self.predicted_iou[at] = other.predicted_iou
        self.stability[:, at] = other.stability
        self.boxes[at] = other.boxes


def rungs_around(cut: float) -> NDArray[np.float32]:
    """Return the cut-offs of the stability ladder below and above `cut`, ascending."""
    steps = np.arange(1, N_OFFSETS + 1) * OFFSET_STEP
    return np.concatenate([cut - steps[::-1], cut + steps]).astype(np.float32)


def stability_of(counts: torch.Tensor) -> torch.Tensor:
    """Return the stability scores (N_OFFSETS, n) from counts (n, 2 N_OFFSETS) above each rung.

    Upstream's score at offset t is #(logits > cut + t) / #(logits > cut - t), in its own types.
    """
    high, low = counts[:, N_OFFSETS:], counts[:, :N_OFFSETS].flip(1)
    return (high / low).T.contiguous()


def clearing(logits: NDArray[np.float32], rungs: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return how many logits lie above each rung; only those between the outer rungs are sorted."""
    above = np.count_nonzero(logits > rungs[-1])
    band = np.sort(logits[(logits > rungs[0]) & (logits <= rungs[-1])])
    return np.asarray(above + len(band) - np.searchsorted(band, rungs, side="right"))


def boxes_of(masks: list[PackedMask], crop_box: tuple[int, int, int, int]) -> torch.Tensor:
    """Return what upstream's `batched_mask_to_box` does, int64 (n, 4), in the crop's frame."""
    x, y, _, _ = crop_box
    boxes = [
        (mask.box[1] - x, mask.box[0] - y, mask.box[3] - x - 1, mask.box[2] - y - 1)
        if mask.area
        else (0, 0, 0, 0)
        for mask in masks
    ]
    return torch.tensor(boxes, dtype=torch.int64).reshape(-1, 4)
