"""What the mask decoder learns from: clicks and accepted masks in SAM's low-resolution frame."""

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
    from napari_samstar.core.clicks import Click
    from napari_samstar.core.encoder import Embedding
    from napari_samstar.core.models import LoadedModel

IGNORE = -1.0
"""In a target: this pixel teaches nothing."""

Target = Tensor
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
        shape = tuple(4 * n for n in model.sam.prompt_encoder.image_embedding_size)
        mask_input = model.sam.prompt_encoder.mask_input_size
        rows, cols = (int(n) for n in mask_input or shape)
        side = int(model.sam.image_encoder.img_size)
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


def click_target(clicks: Iterable[Click], frame: LowRes, radius: float) -> Target:
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


def mask_target(mask: NDArray[np.bool_], frame: LowRes, erosion: int) -> Target:
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


def _without_padding(target: Target, frame: LowRes) -> Target:
    rows, cols = frame.valid
    target[rows:] = IGNORE
    target[:, cols:] = IGNORE
    return target


def balanced_bce(logits: Tensor, target: Target) -> Tensor:
    """Mean of the mean cross-entropy over object pixels and that over background pixels.

    Ignored pixels count in neither; where a class is absent the other counts alone.

    Parameters
    ----------
    logits : Tensor, shape (..., h, w)
    target : Tensor, shape (h, w)

    Returns
    -------
    Tensor, shape (...)
    """
    each = F.binary_cross_entropy_with_logits(
        logits, target.clamp(min=0).expand_as(logits), reduction="none"
    )
    parts = []
    for label in (1.0, 0.0):
        chosen = target == label
        if chosen.any():
            parts.append(each[..., chosen].mean(-1))
    if not parts:
        return logits.sum((-2, -1)) * 0
    return torch.stack(parts).mean(0)


def mask_loss(logits: Tensor, target: Target) -> Tensor:
    """Balanced cross-entropy around the object, a little of it everywhere, and Dice.

    Around means within a window of twice the object's box: over the whole frame the average
    would hardly notice the background that matters.

    Parameters
    ----------
    logits : Tensor, shape (n, h, w)
    target : Tensor, shape (h, w)

    Returns
    -------
    Tensor, shape (n,)
    """
    near = around(target)
    known = near != IGNORE
    soft, truth = torch.sigmoid(logits)[:, known], near[known]
    overlap = (soft * truth).sum(1)
    dice = 1 - (2 * overlap + 1) / (soft.sum(1) + truth.sum() + 1)
    return balanced_bce(logits, near) + 0.2 * balanced_bce(logits, target) + dice


def around(target: Target) -> Target:
    """Return the target with everything beyond twice the object's box ignored."""
    inside = target == 1
    if not inside.any():
        return target
    kept = torch.full_like(target, IGNORE)
    window = []
    for line in (inside.any(1), inside.any(0)):
        at = line.nonzero()[:, 0]
        first, last = int(at[0]), int(at[-1]) + 1
        margin = (last - first) // 2 + 8
        window.append(slice(max(first - margin, 0), last + margin))
    kept[window[0], window[1]] = target[window[0], window[1]]
    return kept


def rank_loss(quality: Tensor, logits: Tensor, target: Target) -> Tensor:
    """Squared error of predicted IoU among the masks of one click, their mean left as it is.

    Only which mask is taken depends on it; thresholds on the predicted IoU keep their meaning.

    Parameters
    ----------
    quality : Tensor, shape (n,)
    logits : Tensor, shape (n, h, w)
    """
    known = target != IGNORE
    hard, truth = logits.detach()[:, known] > 0, target[known] == 1
    both = (hard & truth).sum(1).float()
    true = both / (hard | truth).sum(1).clamp(min=1)
    return ((quality - quality.mean()) - (true - true.mean())).square().sum()
