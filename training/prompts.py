"""Prompts for training: clicks, boxes, background clicks, and corrective clicks."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

POINT, BOX, BACKGROUND = 0, 1, 2
BOX_SHARE, BACKGROUND_SHARE = 0.4, 0.12
MAX_BOX_JITTER = 0.07  # largest standard deviation of a box's edges, relative to its side

Masks = tuple[tuple[int, int, np.ndarray], ...]


@dataclass(frozen=True)
class Prompt:
    """One prompt and its target mask, in px of the crop."""

    owner: int  # index of the crop in the batch
    kind: int
    point: tuple[float, float]  # (x, y)
    box: tuple[float, float, float, float]  # xyxy, tight around the mask unless jittered
    at: tuple[int, int]  # (row, col) of `mask`
    mask: np.ndarray  # (h, w) bool


def draw(
    masks: Masks,
    label: np.ndarray,
    shape: tuple[int, int],
    count: int,
    owner: int,
    rng: np.random.Generator,
) -> list[Prompt]:
    """Up to `count` prompts on a crop; `shape` is the part of it that the image covers."""
    n_background = int(rng.binomial(count, BACKGROUND_SHARE)) if masks else 2
    chosen = rng.permutation(len(masks))[: count - n_background]
    if 0 < len(chosen) < count - n_background:  # few objects: prompt them again at other points
        more = min(count - n_background - len(chosen), 3 * len(chosen))
        chosen = np.concatenate([chosen, rng.choice(chosen, more)])
    out = [_on_object(masks[i], owner, label.shape, rng) for i in chosen]
    return out + _on_background(label[: shape[0], : shape[1]], n_background, owner, rng)


def _on_object(
    instance: tuple[int, int, np.ndarray],
    owner: int,
    shape: tuple[int, int],
    rng: np.random.Generator,
) -> Prompt:
    r, c, mask = instance
    rows, cols = np.nonzero(mask)
    corners = (c + cols.min(), r + rows.min(), c + cols.max(), r + rows.max())
    box = np.array(corners, float)
    sides = np.ptp(box.reshape(2, 2), 0).repeat(2)
    box += rng.normal(size=4) * rng.random() * np.minimum(MAX_BOX_JITTER * sides, 8)
    box = np.clip(box, 0, np.array([shape[1], shape[0]] * 2) - 1)
    y, x = interior(mask, rng)
    kind = BOX if rng.random() < BOX_SHARE else POINT
    return Prompt(owner, kind, (c + x, r + y), tuple(box), (r, c), mask)


def interior(mask: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """A random pixel (row, col) of the mask, more often far from its edge."""
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    least = depth.max() * rng.uniform(0, 0.95)
    rows, cols = np.nonzero(mask & (depth >= least))
    i = int(rng.integers(len(rows)))
    return float(rows[i]), float(cols[i])


def _on_background(
    label: np.ndarray, count: int, owner: int, rng: np.random.Generator
) -> list[Prompt]:
    rows, cols = np.nonzero(label == 0)
    if len(rows) < 50:
        return []
    nothing = np.zeros((1, 1), bool)
    picks = rng.integers(len(rows), size=count)
    spots = [(float(cols[i]), float(rows[i])) for i in picks]
    return [Prompt(owner, BACKGROUND, at, (0, 0, 1, 1), (0, 0), nothing) for at in spots]


def collate(drawn: list[Prompt], size: int) -> dict[str, Tensor]:
    """Prompts as tensors; target masks (P, size/2, size/2) uint8 are sums of 2 x 2 px, 0 to 4."""
    target = np.zeros((len(drawn), size, size), np.uint8)
    for layer, prompt in zip(target, drawn, strict=True):
        (r, c), mask = prompt.at, prompt.mask
        layer[r : r + mask.shape[0], c : c + mask.shape[1]] = mask
    half = size // 2
    soft = target.reshape(-1, half, 2, half, 2).sum((2, 4), dtype=np.uint8)
    return {
        "owner": torch.tensor([p.owner for p in drawn], dtype=torch.long),
        "kind": torch.tensor([p.kind for p in drawn], dtype=torch.long),
        "point": torch.tensor([p.point for p in drawn], dtype=torch.float32).view(-1, 2),
        "box": torch.tensor([p.box for p in drawn], dtype=torch.float32).view(-1, 4),
        "target": torch.from_numpy(soft),
    }


def error_click(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """One corrective click per mask: (P, 2) in (x, y) px, and its label (P,).

    Drawn from the wrong pixels of `logits` and `target` (P, H, W) of stride 2, with more weight
    inside large error regions; from the target if no pixel is wrong.
    """
    wrong = ((logits > 0) != (target > 0.5)).float()
    depth = torch.nn.functional.avg_pool2d(wrong[:, None], 9, 1, 4)[:, 0] ** 2
    weight = wrong * depth + 1e-9 * (target > 0.5) + 1e-12
    flat = torch.multinomial(weight.flatten(1), 1)[:, 0]
    width = target.shape[2]
    at = torch.stack([flat % width, flat // width], 1).float() * 2 + 0.5
    label = (target.flatten(1).gather(1, flat[:, None])[:, 0] > 0.5).int()
    return at, label
