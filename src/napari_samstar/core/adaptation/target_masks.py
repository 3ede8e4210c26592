"""Clicks and accepted masks as targets in SAM's low-resolution frame."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from napari_samstar.core.interactive.clicks import Click
    from napari_samstar.core.models.backend import Embedding, LoadedModel


IGNORE = -1.0
"""In a target: this pixel teaches nothing."""


TargetMask = Tensor
"""float32, shape (h, w), low-resolution frame: 1 object, 0 background, `IGNORE`."""


@dataclass(frozen=True)
class LowRes:
    """How an image lies in the frame of the low-resolution logits.

    Attributes
    ----------
    shape : (int, int)
        Rows and columns of the logits, padding included.
    valid : (int, int)
        Rows and columns that the image covers, rounded up; the rest is padding.
    scale : (float, float)
        Low-resolution pixels per image pixel, along rows and columns.
    """

    shape: tuple[int, int]
    valid: tuple[int, int]
    scale: tuple[float, float]

    @classmethod
    def of(cls, model: LoadedModel, embedding: Embedding) -> LowRes:
        """Return the geometry of one embedding's logits."""
        (rows, cols), side = model.backend.low_res_shape, model.backend.frame_side
        per_frame = (rows / side, cols / side)
        covered = [n * k for n, k in zip(embedding.input_size, per_frame, strict=True)]
        sizes = zip(covered, embedding.original_size, strict=True)
        r, c = (float(n / full) for n, full in sizes)
        valid = (int(np.ceil(covered[0])), int(np.ceil(covered[1])))
        return cls((rows, cols), valid, (r, c))

    def place(self, click: Click) -> tuple[float, float]:
        """Return where a click lies, (row, col); centres of pixels are whole numbers in both."""
        row, col = self.scale
        return (click.row + 0.5) * row - 0.5, (click.col + 0.5) * col - 0.5


def click_target(clicks: Iterable[Click], frame: LowRes, radius: float) -> TargetMask:
    """Draw every click as a disc of `radius` low-resolution pixels.

    A pixel takes the label of the nearest click, so that discs of opposite clicks do not
    contradict each other. What no disc covers, and padding, is `IGNORE`.
    """
    target = torch.full(frame.shape, IGNORE)
    nearest = torch.full(frame.shape, torch.inf)
    rows = torch.arange(frame.shape[0], dtype=torch.float32)[:, None]
    cols = torch.arange(frame.shape[1], dtype=torch.float32)[None]
    for click in clicks:
        row, col = frame.place(click)
        distance = (rows - row) ** 2 + (cols - col) ** 2
        drawn = (distance <= max(radius, 0.75) ** 2) & (distance < nearest)
        target[drawn] = float(click.positive)
        nearest = torch.where(drawn, distance, nearest)
    return _without_padding(target, frame)


def mask_target(mask: NDArray[np.bool_], frame: LowRes, erosion: int) -> TargetMask:
    """Turn an accepted mask, bool of shape (H, W), into a pseudo-label.

    Object and background are eroded separately by `erosion` low-resolution pixels; the ring
    between them, and padding, is `IGNORE`. An object or a background that erosion would remove
    altogether is eroded less.
    """
    inside = torch.from_numpy(mask[None, None].astype(np.float32))
    rows, cols = frame.valid
    share = F.interpolate(inside, (rows, cols), mode="area")[0, 0].numpy()
    target = np.full(frame.shape, IGNORE, dtype=np.float32)
    window = target[:rows, :cols]
    window[_eroded(share < 0.5, erosion)] = 0.0
    window[_eroded(share >= 0.5, erosion)] = 1.0
    return _without_padding(torch.from_numpy(target), frame)


def _eroded(region: NDArray[np.bool_], times: int) -> NDArray[np.bool_]:
    for fewer in range(times, 0, -1):
        # the image's edge is no edge of the object
        smaller = ndimage.binary_erosion(region, iterations=fewer, border_value=1)
        if smaller.sum() >= region.sum() / 4:
            return np.asarray(smaller)
    return region


def _without_padding(target: TargetMask, frame: LowRes) -> TargetMask:
    rows, cols = frame.valid
    target[rows:] = IGNORE
    target[:, cols:] = IGNORE
    return target
