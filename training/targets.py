"""Targets of the dense head, from a label image."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

from napari_samstar.core.models.pocket import FINE_STRIDE, SIZE_UNIT

CHANNELS = 7  # foreground, edge, heat, offset row, offset col, log size, weight of the offsets


def dense_targets(label: np.ndarray) -> np.ndarray:
    """Targets (7, H/4, W/4) float32 of a label image (H, W).

    Channels: see `CHANNELS`. Offsets are from the cell to its instance's centroid in units of
    sqrt(area); log size is ln(sqrt(area) / 16 px); the weight balances instances of all sizes.
    """
    h, w = label.shape
    coarse = (w // FINE_STRIDE, h // FINE_STRIDE)
    out = np.zeros((CHANNELS, coarse[1], coarse[0]), np.float32)
    out[0] = cv2.resize((label > 0).astype(np.float32), coarse, interpolation=cv2.INTER_AREA)
    edges = _edges(label).reshape(coarse[1], FINE_STRIDE, coarse[0], FINE_STRIDE)
    out[1] = edges.max((1, 3))
    if label.max() == 0:
        return out
    half = FINE_STRIDE // 2
    inner = label[half::FINE_STRIDE, half::FINE_STRIDE]
    centre, size = _centres_and_sizes(label)
    rows = (np.arange(coarse[1], dtype=np.float32) + 0.5)[:, None] * FINE_STRIDE
    cols = (np.arange(coarse[0], dtype=np.float32) + 0.5)[None, :] * FINE_STRIDE
    inside = inner > 0
    out[3] = inside * (centre[inner, 0] - rows) / size[inner]
    out[4] = inside * (centre[inner, 1] - cols) / size[inner]
    out[5] = inside * np.log(size[inner] / SIZE_UNIT)
    out[2] = inside * np.exp(-(out[3] ** 2 + out[4] ** 2) / (2 * 0.15**2))
    cells = np.bincount(inner.ravel(), minlength=len(size))
    out[6] = inside / np.sqrt(np.maximum(cells, 4))[inner]
    return out


def _edges(label: np.ndarray) -> np.ndarray:
    """Pixels (H, W) bool on both sides of the borders of instances."""
    edge = np.zeros(label.shape, bool)
    down = label[:-1] != label[1:]
    right = label[:, :-1] != label[:, 1:]
    edge[:-1] |= down
    edge[1:] |= down
    edge[:, :-1] |= right
    edge[:, 1:] |= right
    return edge


def _centres_and_sizes(label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centroid (N + 1, 2) in px and sqrt(area) (N + 1,) of each id; row 0 is background."""
    ids = np.arange(label.max() + 1)
    area = np.bincount(label.ravel(), minlength=len(ids)).astype(np.float32)
    rows, cols = np.indices(label.shape, dtype=np.float32)
    centre = np.stack([ndimage.sum(axis, label, ids) for axis in (rows, cols)], 1)
    centre = centre / np.maximum(area, 1)[:, None] + 0.5
    return centre.astype(np.float32), np.sqrt(np.maximum(area, 1))
