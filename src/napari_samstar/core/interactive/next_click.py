"""The click that a user makes next to correct a mask."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_samstar.core.interactive.clicks import Click

BoolArray = NDArray[np.bool_]


def next_click(
    truth: BoolArray, mask: BoolArray | None = None, clicks: Sequence[Click] = ()
) -> Click | None:
    """Return a click into the centre of the largest error; None where the mask has no error.

    The centre is the pixel farthest from the edge of the error region (Euclidean distance; the
    image's border is an edge). The click is positive if the deepest missing region is deeper than
    the deepest extra one. Of equal pixels the first in reading order is taken.

    Parameters
    ----------
    truth, mask : ndarray of bool, shape (H, W)
        No `mask` means an empty one.
    clicks : sequence of Click
        Earlier clicks; their pixels are not clicked again.
    """
    mask = np.zeros_like(truth) if mask is None else mask
    missing, extra = interior_distance(truth & ~mask), interior_distance(mask & ~truth)
    for click in clicks:
        missing[int(click.row), int(click.col)] = extra[int(click.row), int(click.col)] = 0
    missing_depth, extra_depth = float(missing.max()), float(extra.max())
    if max(missing_depth, extra_depth) == 0:
        return None
    positive = missing_depth > extra_depth
    row, col = np.unravel_index(int((missing if positive else extra).argmax()), truth.shape)
    return Click(int(row), int(col), positive)


def careless_click(
    truth: BoolArray,
    mask: BoolArray | None = None,
    clicks: Sequence[Click] = (),
    *,
    rng: np.random.Generator,
) -> Click | None:
    """Return a random click into the error region of `next_click`, at least half as deep."""
    click = next_click(truth, mask, clicks)
    if click is None:
        return None
    mask = np.zeros_like(truth) if mask is None else mask
    errors = truth & ~mask if click.positive else mask & ~truth
    at = int(click.row), int(click.col)
    regions, depth = ndimage.label(errors)[0], interior_distance(errors)
    rows, cols = np.nonzero((regions == regions[at]) & (depth >= depth[at] / 2))
    k = int(rng.integers(len(rows)))
    return Click(int(rows[k]), int(cols[k]), click.positive)


def interior_distance(region: BoolArray) -> NDArray[np.float32]:
    """Return each pixel's distance to the edge of `region`, px; 0 outside.

    The image's border is an edge.
    """
    distance = np.zeros(region.shape, dtype=np.float32)
    rows, cols = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    if len(rows):
        window = (slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1))
        padded = np.pad(region[window], 1).astype(np.uint8)
        exact = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        distance[window] = exact[1:-1, 1:-1]
    return distance


def iou(a: BoolArray, b: BoolArray) -> float:
    """Return the intersection over union of two masks; 1 where both are empty."""
    union = int(np.count_nonzero(a | b))
    return int(np.count_nonzero(a & b)) / union if union else 1.0
