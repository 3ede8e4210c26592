"""What one batch of prompts gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

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
