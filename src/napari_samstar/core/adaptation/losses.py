"""What the mask decoder learns from: clicks and accepted masks in SAM's low-resolution frame."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_samstar.core.adaptation.target_masks import IGNORE, TargetMask


def balanced_bce(logits: Tensor, target: TargetMask) -> Tensor:
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


def mask_loss(logits: Tensor, target: TargetMask) -> Tensor:
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


def around(target: TargetMask) -> TargetMask:
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


def rank_loss(quality: Tensor, logits: Tensor, target: TargetMask) -> Tensor:
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
