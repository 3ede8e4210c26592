"""Losses of the mask decoder in the low-resolution frame of the logits."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_samstar.core.adaptation.target_masks import IGNORE, TargetMask


def balanced_bce(logits: Tensor, target: TargetMask) -> Tensor:
    """Return the mean of the cross-entropy of object pixels and that of background pixels.

    Ignored pixels count in neither; where a class is absent the other counts alone.

    Parameters
    ----------
    logits : Tensor, shape (..., h, w)
    target : Tensor, shape (h, w)

    Returns
    -------
    Tensor, shape (...)
    """
    bce = F.binary_cross_entropy_with_logits(
        logits, target.clamp(min=0).expand_as(logits), reduction="none"
    )
    class_means = []
    for label in (1.0, 0.0):
        pixels = target == label
        if pixels.any():
            class_means.append(bce[..., pixels].mean(-1))
    if not class_means:
        return logits.sum((-2, -1)) * 0
    return torch.stack(class_means).mean(0)


def mask_loss(logits: Tensor, target: TargetMask) -> Tensor:
    """Return balanced cross-entropy and Dice near the object, and a fifth of the former everywhere.

    Near the object means in a window of twice its box. Over the whole frame the background close
    to the object would hardly count.

    Parameters
    ----------
    logits : Tensor, shape (n, h, w)
    target : Tensor, shape (h, w)

    Returns
    -------
    Tensor, shape (n,)
    """
    near = ignore_far_pixels(target)
    known = near != IGNORE
    soft, truth = torch.sigmoid(logits)[:, known], near[known]
    overlap = (soft * truth).sum(1)
    dice = 1 - (2 * overlap + 1) / (soft.sum(1) + truth.sum() + 1)
    return balanced_bce(logits, near) + 0.2 * balanced_bce(logits, target) + dice


def ignore_far_pixels(target: TargetMask) -> TargetMask:
    """Return the target with everything beyond twice the object's box ignored."""
    inside = target == 1
    if not inside.any():
        return target
    near = torch.full_like(target, IGNORE)
    window = []
    for line in (inside.any(1), inside.any(0)):
        at = line.nonzero()[:, 0]
        first, last = int(at[0]), int(at[-1]) + 1
        margin = (last - first) // 2 + 8
        window.append(slice(max(first - margin, 0), last + margin))
    near[window[0], window[1]] = target[window[0], window[1]]
    return near


def rank_loss(predicted_iou: Tensor, logits: Tensor, target: TargetMask) -> Tensor:
    """Return the squared error of the predicted IoUs of one click, each minus their mean.

    The best mask is chosen by their order. Their mean is not trained, so thresholds on predicted
    IoU keep their meaning.

    Parameters
    ----------
    predicted_iou : Tensor, shape (n,)
    logits : Tensor, shape (n, h, w)
    target : Tensor, shape (h, w)
    """
    known = target != IGNORE
    masks, truth = logits.detach()[:, known] > 0, target[known] == 1
    intersection = (masks & truth).sum(1).float()
    true_iou = intersection / (masks | truth).sum(1).clamp(min=1)
    errors = (predicted_iou - predicted_iou.mean()) - (true_iou - true_iou.mean())
    return errors.square().sum()
