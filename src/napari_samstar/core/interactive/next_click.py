"""Where a careful user clicks next."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_samstar.core.interactive.clicks import Click

Bool = NDArray[np.bool_]


def next_click(truth: Bool, mask: Bool | None = None, clicks: Sequence[Click] = ()) -> Click | None:
    """Return the click that a careful user makes next; None where nothing is wrong.

    The pixel deepest inside what is missing, or inside what is too much, by Euclidean distance
    to the region's edge; the image's border is an edge. Positive where the missing part is the
    deeper one. Of equal pixels the first in reading order; a pixel clicked before is not clicked
    again.

    Parameters
    ----------
    truth, mask : ndarray of bool, shape (H, W)
        `mask` is empty where it is not given.
    clicks : sequence of Click
        Those made before.
    """
    mask = np.zeros_like(truth) if mask is None else mask
    missing, extra = depth(truth & ~mask), depth(mask & ~truth)
    for click in clicks:
        missing[int(click.row), int(click.col)] = extra[int(click.row), int(click.col)] = 0
    deepest, too_deep = float(missing.max()), float(extra.max())
    if max(deepest, too_deep) == 0:
        return None
    positive = deepest > too_deep
    row, col = np.unravel_index(int((missing if positive else extra).argmax()), truth.shape)
    return Click(int(row), int(col), positive)


def careless_click(
    truth: Bool,
    mask: Bool | None = None,
    clicks: Sequence[Click] = (),
    *,
    chance: np.random.Generator,
) -> Click | None:
    """Return a click somewhere in the same error as `next_click`'s, at least half as deep."""
    click = next_click(truth, mask, clicks)
    if click is None:
        return None
    mask = np.zeros_like(truth) if mask is None else mask
    region = truth & ~mask if click.positive else mask & ~truth
    at = int(click.row), int(click.col)
    parts, inner = ndimage.label(region)[0], depth(region)
    rows, cols = np.nonzero((parts == parts[at]) & (inner >= inner[at] / 2))
    k = int(chance.integers(len(rows)))
    return Click(int(rows[k]), int(cols[k]), click.positive)


def depth(region: Bool) -> NDArray[np.float32]:
    """Distance of each pixel of `region` to its edge, px; 0 outside."""
    depth = np.zeros(region.shape, dtype=np.float32)
    rows, cols = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    if len(rows):
        window = (slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1))
        padded = np.pad(region[window], 1).astype(np.uint8)
        exact = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        depth[window] = exact[1:-1, 1:-1]
    return depth


def iou(a: Bool, b: Bool) -> float:
    """Return intersection over union of two masks; 1 where both are empty."""
    union = int(np.count_nonzero(a | b))
    return int(np.count_nonzero(a & b)) / union if union else 1.0
