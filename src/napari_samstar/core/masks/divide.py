"""Cut one object into two, or make one of two."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from skimage.draw import line as line_pixels
from skimage.segmentation import watershed

Bool = NDArray[np.bool_]

MAX_GAP = 25
"""Widest gap between two objects that merging fills, px."""

SPECK = 1 / 50
"""Of the largest piece of a mask: smaller ones are specks."""


def split_along(mask: Bool, start: tuple[float, float], end: tuple[float, float]) -> list[Bool]:
    """Cut a mask along a straight line.

    Parameters
    ----------
    mask : ndarray of bool, shape (H, W)
    start, end : (row, col)
        Of the line, px of the mask; they may lie outside of it.

    Returns
    -------
    list of ndarray of bool, shape (H, W)
        The parts, largest first; empty where the line does not cut the mask in two.
    """
    rows, cols = line_pixels(*(round(v) for v in (*start, *end)))
    inside = (rows >= 0) & (rows < mask.shape[0]) & (cols >= 0) & (cols < mask.shape[1])
    rest = mask.copy()
    rest[rows[inside], cols[inside]] = False
    # Parts that only touch at corners are two parts.
    parts, n = ndi.label(rest)
    if n < 2:
        return []
    # The cut's own pixels go to the nearest part.
    return _parts(watershed(np.zeros(mask.shape), parts, mask=mask))


def split_at(mask: Bool, one: tuple[int, int], other: tuple[int, int]) -> list[Bool]:
    """Cut a mask between two points of it, where it is narrowest.

    Parameters
    ----------
    mask : ndarray of bool, shape (H, W)
    one, other : (row, col)
        Each marks one of the parts; a point outside of the mask cuts nothing.
    """
    if one == other or not (mask[one] and mask[other]):
        return []
    seeds = np.zeros(mask.shape, dtype=np.int32)
    seeds[one], seeds[other] = 1, 2
    depth = ndi.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    found = _parts(watershed(-depth, seeds, mask=mask))
    return found if len(found) == 2 else []


def merge(one: Bool, other: Bool) -> Bool:
    """Return both masks as one, of shape (H, W), with a gap of up to `MAX_GAP` px between filled.

    The gap is filled by a morphological closing with the smallest disk that joins the two.
    """
    both = one | other
    if not (one.any() and other.any()):
        return both
    gap = float(ndi.distance_transform_edt(~one)[other].min())
    if gap > MAX_GAP:
        return both
    radius = int(np.ceil(gap / 2)) + 1
    padded = np.pad(both, radius)
    # A closing: what is within `radius` of the masks, and not within `radius` of its outside.
    grown = ndi.distance_transform_edt(~padded) <= radius
    closed = ndi.distance_transform_edt(grown) > radius
    inner = slice(radius, -radius)
    return np.asarray(both | closed[inner, inner])


def without_specks(mask: Bool, keep: Sequence[tuple[int, int]] = ()) -> Bool:
    """Return a mask without pieces much smaller than its largest one.

    Parameters
    ----------
    keep : sequence of (row, col)
        A piece at one of them stays, however small.
    """
    pieces, n = ndi.label(mask, structure=np.ones((3, 3)))
    if n < 2:
        return mask
    areas = np.bincount(pieces.ravel())[1:]
    kept = areas >= areas.max() * SPECK
    rows, cols = mask.shape
    for row, col in keep:
        if 0 <= row < rows and 0 <= col < cols and pieces[row, col]:
            kept[pieces[row, col] - 1] = True
    return np.asarray(np.concatenate([[False], kept])[pieces])


def _parts(labels: NDArray[np.int32]) -> list[Bool]:
    """Return the masks of a label image, largest first."""
    counts = np.bincount(labels.ravel())
    counts[0] = 0
    order = np.argsort(-counts, kind="stable")
    return [labels == k for k in order.tolist() if counts[k]]
