"""Rewards for finding all objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy
from numpy.typing import NDArray

from napari_samstar.core.masks.store import count as pixels
from napari_samstar.core.rewards.registry import reward
from napari_samstar.core.rewards.view import FOREGROUND_FITS

if TYPE_CHECKING:
    from napari_samstar.core.rewards.view import View


@reward(
    label="Covers the foreground",
    help="The masks cover the foreground once, and nothing else.",
    objective=0,
    weight=0.0,
    applies=lambda view: view.attainable.coverage >= FOREGROUND_FITS,
)
def coverage(view: View) -> float:
    """2 |U and F| / (|U| + B + |F|).

    The Dice overlap of the masks and F, in which area that is covered twice counts as wrong: B is
    the area of all masks that lie by 0.7 or more inside a larger one. Without B, several masks of
    the same object would score as well as one. Ours.

    Left out where neither SAM's default thresholds nor the warm starts of a search reach 0.3: F and
    the model then see other things, and F, which is made with less, is not believed.
    """
    return view.coverage


@reward(
    label="Likely objects",
    help="Many masks that are likely objects, and few that are not.",
    objective=0,
    weight=3.0,
)
def likely_objects(view: View) -> float:
    """2 P / (N + T): the expected F1 for T true objects.

    P is the expected number of objects among the masks: the sum of the probabilities p_i of
    masks that are no duplicates. p_i follows from the predicted IoU, the stability and, where
    the model sees centres and sizes of objects before it is prompted, from how well the mask
    agrees with them (`amg.likelihood`). T is the highest P that SAM's default thresholds and
    the warm starts of a search reach without zoom, or P itself if that is higher; or the number
    of regions of F, where F can be covered to 0.85. `coverage` weighs objects by their area;
    here each counts the same. Ours, from the expected F measure (Lipton et al., ECML 2014).
    """
    return 2 * view.objects / (len(view.ids) + max(view.attainable.objects, view.objects))


def _has_small_spots(view: View) -> bool:
    small = view.expectations.small or 0.0
    return bool((view.cues.blobs[:, 2] < small).any())


@reward(
    label="Small objects",
    help="Small objects are found, with one mask for each small spot.",
    objective=0,
    weight=0.0,  # texture has blobs too, so this is only for images with known small objects
    applies=_has_small_spots,
)
def small_objects(view: View) -> float:
    """F1 of small masks (d < d_S) against small blobs of a multi-scale Laplacian of Gaussian.

    A blob is matched with the nearest unused small mask whose centre is within half the blob's
    diameter. Left out if the image has no small blob. Ours; independent blob counts as a reward:
    arXiv 2404.14146.
    """
    limit = view.expectations.small or 0.0
    blobs = view.cues.blobs
    blobs = blobs[blobs[:, 2] < limit]
    small = view.diameters < limit
    found = _count_matches(blobs, view.centres[small])
    return 2 * found / (len(blobs) + int(small.sum()))


def _has_large_regions(view: View) -> bool:
    if view.attainable.coverage < FOREGROUND_FITS:
        return False
    return bool(view.features.large_foreground(view.expectations.large or 0.0).any())


@reward(
    label="Large objects",
    help="Large objects are covered by large masks, not left out or broken up.",
    objective=0,
    weight=0.0,
    applies=_has_large_regions,
)
def large_objects(view: View) -> float:
    """Dice of large masks (d > d_L) and large foreground regions L: 2 |U and L| / (|U| + B + |L|).

    U is the union of large masks, B the area of those that lie by 0.7 or more inside a larger one.
    Left out if no region of the foreground is large. Ours.
    """
    large = view.diameters > (view.expectations.large or 0.0)
    truth = view.features.large_foreground(view.expectations.large or 0.0)
    union = view.features.union(view.ids[large])
    twice = float(view.areas[large & view.mostly_inside].sum())
    return 2 * pixels(union & truth) / (pixels(union) + twice + pixels(truth))


@reward(
    label="Expected number",
    help="The number of objects is the expected one.",
    objective=0,
    weight=0.0,
    applies=lambda view: view.expectations.count is not None,
    needs="the number of objects",
)
def count(view: View) -> float:
    """exp(-|ln(N / N_expected)|), paired. After arXiv 2404.14146 (density)."""
    expected = view.expectations.count or 1.0
    return view.paired(float(np.exp(-abs(np.log(len(view.ids) / expected)))))


def _count_matches(blobs: NDArray[np.float64], centres: NDArray[np.float64]) -> int:
    """Return the number of one-to-one matches of blobs and centres, made from the nearest on."""
    if not len(centres):
        return 0
    radius = blobs[:, 2] / 2
    tree = scipy.spatial.KDTree(centres)
    near = tree.query_ball_point(blobs[:, :2], radius)
    blob = np.repeat(np.arange(len(blobs)), [len(n) for n in near])
    centre = np.array([c for n in near for c in n], dtype=np.int64)
    distance = np.linalg.norm(blobs[blob, :2] - centres[centre], axis=1)
    free_blob, free_centre = np.ones(len(blobs), bool), np.ones(len(centres), bool)
    for k in np.argsort(distance, kind="stable"):
        if free_blob[blob[k]] and free_centre[centre[k]]:
            free_blob[blob[k]] = free_centre[centre[k]] = False
    return int((~free_blob).sum())
