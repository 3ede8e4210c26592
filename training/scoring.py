"""Common parts of calibration and evaluation: image sizes, clicks, overlaps with ground truth."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from safetensors.torch import load_file

from napari_samstar.core.models.pocket import Pocket, build_pocket, grown

if TYPE_CHECKING:
    from pathlib import Path

    from training import real


def load_model(weights: Path, device: str = "cpu") -> Pocket:
    """The pocket model in fp32, with the fp16 weights of a file."""
    model = build_pocket()
    model.load_state_dict(grown(model, {k: v.float() for k, v in load_file(weights).items()}))
    return model.to(device)


def at_most(source: real.Micrograph, side: int) -> real.Micrograph:
    """The micrograph reduced so that its long side has at most `side` px."""
    h, w = source.image.shape
    scale = side / max(h, w)
    if scale >= 1:
        return source
    new = (round(w * scale), round(h * scale))
    return replace(
        source,
        image=cv2.resize(source.image, new, interpolation=cv2.INTER_AREA),
        label=cv2.resize(source.label, new, interpolation=cv2.INTER_NEAREST),
    )


def rgb(image: np.ndarray) -> np.ndarray:
    return np.repeat(image[..., None], 3, 2)


def some_instances(label: np.ndarray, most: int, seed: int, least: int = 16) -> list[int]:
    """Ids of up to `most` instances of at least `least` px, drawn with a fixed seed."""
    area = np.bincount(label.ravel())
    ids = [int(i) for i in np.nonzero(area >= least)[0] if i > 0]
    return [int(i) for i in np.random.default_rng(seed).permutation(ids)[:most]]


def deepest(mask: np.ndarray) -> tuple[int, int]:
    """The pixel (row, col) of a (H, W) mask farthest from its outline."""
    padded = np.pad(mask, 1).astype(np.uint8)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    row, col = np.unravel_index(int(depth.argmax()), mask.shape)
    return int(row), int(col)


def best_overlaps(masks: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Id of the object with the highest IoU, and this IoU, for each of `masks` (N, H, W) bool."""
    area = np.bincount(label.ravel(), minlength=2)
    owner, iou = np.zeros(len(masks), int), np.zeros(len(masks))
    flat = label.ravel()
    for i, mask in enumerate(masks):
        inside = np.flatnonzero(mask)
        intersection = np.bincount(flat[inside], minlength=len(area))
        union = area + len(inside) - intersection
        score = intersection / np.maximum(union, 1)
        score[0] = 0
        owner[i], iou[i] = int(score.argmax()), float(score.max())
    return owner, iou


def f1(owner: np.ndarray, iou: np.ndarray, objects: int, least: float = 0.5) -> float:
    """F1 of kept masks; further masks of the same object are false positives."""
    found = len(set(owner[iou >= least].tolist()))
    total = len(owner) + objects
    return 2 * found / total if total else 1.0


def frame_tensor(image: np.ndarray, model: Pocket) -> torch.Tensor:
    """Normalised and padded tensor (1, 3, 512, 512) of an image (H, W) uint8 with long side 512."""
    tensor = torch.from_numpy(rgb(image)).permute(2, 0, 1)[None].float()
    return model.preprocess(tensor.to(model.device))
