"""Target masks of training: clicks and accepted masks in the low-resolution frame of the logits."""

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
"""Pixels of this value have no influence on the loss."""

TargetMask = Tensor
"""float32, shape (h, w), low-resolution frame: 1 object, 0 background, `IGNORE`."""

MIN_CLICK_RADIUS = 0.75
"""Low-resolution px; a disc of this radius contains a pixel wherever its centre lies."""


@dataclass(frozen=True)
class LowResFrame:
    """Geometry of an image in the frame of the low-resolution logits.

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
    def from_embedding(cls, model: LoadedModel, embedding: Embedding) -> LowResFrame:
        """Return the geometry of one image's logits."""
        (rows, cols), side = model.backend.low_res_shape, model.backend.frame_side
        per_frame = (rows / side, cols / side)
        covered = [n * k for n, k in zip(embedding.input_size, per_frame, strict=True)]
        sizes = zip(covered, embedding.original_size, strict=True)
        r, c = (float(n / full) for n, full in sizes)
        valid = (int(np.ceil(covered[0])), int(np.ceil(covered[1])))
        return cls((rows, cols), valid, (r, c))

    def position(self, click: Click) -> tuple[float, float]:
        """Return a click's (row, col) in low-resolution px; whole numbers are pixel centres."""
        row, col = self.scale
        return (click.row + 0.5) * row - 0.5, (click.col + 0.5) * col - 0.5


def click_target(clicks: Iterable[Click], frame: LowResFrame, radius: float) -> TargetMask:
    """Return a target mask with a disc for every click; the rest is `IGNORE`.

    A pixel takes the label of the nearest click, so that discs of opposite clicks do not overlap.

    Parameters
    ----------
    radius : float
        Low-resolution px; every disc covers at least one pixel.
    """
    target = torch.full(frame.shape, IGNORE)
    nearest = torch.full(frame.shape, torch.inf)
    rows = torch.arange(frame.shape[0], dtype=torch.float32)[:, None]
    cols = torch.arange(frame.shape[1], dtype=torch.float32)[None]
    for click in clicks:
        row, col = frame.position(click)
        distance = (rows - row) ** 2 + (cols - col) ** 2
        disc = (distance <= max(radius, MIN_CLICK_RADIUS) ** 2) & (distance < nearest)
        target[disc] = float(click.positive)
        nearest = torch.where(disc, distance, nearest)
    return _ignore_padding(target, frame)


def mask_target(mask: NDArray[np.bool_], frame: LowResFrame, erosion: int) -> TargetMask:
    """Return the target mask of an accepted mask, bool of shape (H, W).

    Object and background are each eroded by `erosion` low-resolution pixels; the ring between
    them, and padding, is `IGNORE`. Regions of which less than a quarter would remain are eroded
    less.
    """
    inside = torch.from_numpy(mask[None, None].astype(np.float32))
    rows, cols = frame.valid
    share = F.interpolate(inside, (rows, cols), mode="area")[0, 0].numpy()
    target = np.full(frame.shape, IGNORE, dtype=np.float32)
    window = target[:rows, :cols]
    window[_erode(share < 0.5, erosion)] = 0.0
    window[_erode(share >= 0.5, erosion)] = 1.0
    return _ignore_padding(torch.from_numpy(target), frame)


def _erode(region: NDArray[np.bool_], iterations: int) -> NDArray[np.bool_]:
    for n in range(iterations, 0, -1):
        # The image's border is no edge of the object
        eroded = ndimage.binary_erosion(region, iterations=n, border_value=1)
        if eroded.sum() >= region.sum() / 4:
            return np.asarray(eroded)
    return region


def _ignore_padding(target: TargetMask, frame: LowResFrame) -> TargetMask:
    rows, cols = frame.valid
    target[rows:] = IGNORE
    target[:, cols:] = IGNORE
    return target
