"""Losses: dense head, masks (best of three and single), predicted IoU."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def dense_loss(predicted: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Parts of the dense head's loss; predicted (B, 6, H, W), target (B, 7, H, W)."""
    foreground, edge, heat = (
        F.binary_cross_entropy_with_logits(predicted[:, i], target[:, i], reduction="none")
        for i in range(3)
    )
    weight = target[:, 6]
    total = weight.sum().clamp(min=1)
    offset = F.smooth_l1_loss(predicted[:, 3:5], target[:, 3:5], beta=0.1, reduction="none").sum(1)
    size = F.smooth_l1_loss(predicted[:, 5], target[:, 5], beta=0.2, reduction="none")
    return {
        "foreground": foreground.mean(),
        "edge": (edge * (1 + 2 * target[:, 1])).mean(),
        "heat": (heat * (1 + 8 * target[:, 2])).mean(),
        "offset": (offset * weight).sum() / total,
        "size": 0.5 * (size * weight).sum() / total,
    }


def mask_losses(logits: Tensor, target: Tensor) -> Tensor:
    """Weighted BCE plus Dice loss of each mask: (P, 4).

    `logits` (P, 4, H, W); `target` (P, H, W) in [0, 1], none of them empty. BCE is averaged over a
    window of twice the object's box, so that background does not dominate for small objects, and
    too large masks have no advantage.
    """
    target = target[:, None]
    bce = F.binary_cross_entropy_with_logits(logits, target.expand_as(logits), reduction="none")
    weight = _window_weight(target)
    soft = torch.sigmoid(logits)
    overlap = (soft * target).sum((2, 3))
    dice = 1 - (2 * overlap + 1) / (soft.sum((2, 3)) + target.sum((2, 3)) + 1)
    return (bce * weight).sum((2, 3)) + dice


def _window_weight(target: Tensor, outside: float = 0.3) -> Tensor:
    """Weights (P, 1, H, W): mean over the window, plus `outside` times the mean of the rest."""
    rows, cols = target.amax(3, keepdim=True) > 0.5, target.amax(2, keepdim=True) > 0.5
    window = (_widened(rows, 2) & _widened(cols, 3)).to(target)
    inside = window.sum((2, 3), keepdim=True).clamp(min=1)
    rest = (1 - window).sum((2, 3), keepdim=True).clamp(min=1)
    return window / inside + outside * (1 - window) / rest


def _widened(line: Tensor, axis: int) -> Tensor:
    """Extend a run of True along `axis` to about twice its length plus 8 px (stride 2)."""
    at = torch.arange(line.shape[axis], device=line.device, dtype=torch.float32)
    at = at.view([-1 if i == axis else 1 for i in range(4)])
    low = torch.where(line, at, torch.inf).amin(axis, keepdim=True)
    high = torch.where(line, at, -torch.inf).amax(axis, keepdim=True)
    margin = (high - low) / 2 + 4
    return (at >= low - margin) & (at <= high + margin)


def true_iou(logits: Tensor, target: Tensor) -> Tensor:
    """IoU of each thresholded mask (P, 4) with its target (P, H, W)."""
    mask, truth = logits > 0, (target > 0.5)[:, None]
    intersection = (mask & truth).sum((2, 3)).float()
    return intersection / (mask | truth).sum((2, 3)).clamp(min=1)


def prompt_loss(
    logits: Tensor, iou: Tensor, target: Tensor, real: Tensor, single_only: bool = False
) -> dict[str, Tensor]:
    """Parts of the loss of prompts; `real` (P,) is False for clicks on background.

    The loss is that of the best of the three masks, with a small share of all three so that each
    keeps learning, and of the single mask. Predicted IoU regresses to the true IoU, which is 0 on
    background.
    """
    per_mask = mask_losses(logits[real], target[real])
    three = per_mask[:, 1:]
    best = three.amin(1) + 0.05 * three.mean(1)
    chosen = per_mask[:, 0] if single_only else best + per_mask[:, 0]
    truth = true_iou(logits.detach(), target) * real[:, None]
    return {
        "mask": chosen.mean() if len(chosen) else logits.sum() * 0,
        "iou": 2 * F.mse_loss(iou, truth) * 4,
    }
