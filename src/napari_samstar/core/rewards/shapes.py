"""Rewards for shapes: against a target value, or like the objects that the user marked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_samstar.core.masks import count
from napari_samstar.core.rewards.registry import reward
from napari_samstar.core.shape import closeness

if TYPE_CHECKING:
    from napari_samstar.core.rewards.view import View


@reward(
    label="Circularity",
    help="Outlines are as round as expected.",
    objective=2,
    weight=0.0,
)
def circularity(view: View) -> float:
    """Mean of min(x / t, t / x), 0 for a fragment, paired with coverage.

    x = 4 pi a_i / P_i^2, at most 1, with P_i the perimeter; t the target, 1 unless given. A mean
    over all shapes: it cannot tell a mixture from its average, see `shape_prior`. Ours.
    """
    return _mean_nearness(view, 0, view.expectations.circularity)


@reward(
    label="Solidity",
    help="Outlines have as few bays as expected.",
    objective=2,
    weight=0.0,
)
def solidity(view: View) -> float:
    """Mean of min(x / t, t / x), 0 for a fragment, paired with coverage.

    x is a_i over the area of its convex hull, at most 1; t the target, 1 unless given. Ours.
    """
    return _mean_nearness(view, 1, view.expectations.solidity)


@reward(
    label="Aspect ratio",
    help="Objects are as elongated as expected.",
    objective=2,
    weight=0.0,
)
def aspect_ratio(view: View) -> float:
    """Mean of min(x / t, t / x), 0 for a fragment, paired with coverage.

    x is the major over the minor axis of the ellipse with the same second moments; t the target,
    1 unless given. Ours.
    """
    return _mean_nearness(view, 2, view.expectations.aspect_ratio)


@reward(
    label="Like my examples",
    help="Objects have the shape and size of those that were marked as good.",
    objective=2,
    weight=0.0,
    applies=lambda view: view.marks.examples is not None,
    needs="a few good objects",
)
def shape_prior(view: View) -> float:
    """2 sum(a_i q_i) / (sum(a_i) + |F|): the Dice overlap of example-like area and foreground.

    The likeness q_i = exp(-D_i^2 / 18) is 0.6 at a Mahalanobis distance D_i of 3, and 0 for a
    fragment. Descriptors: log diameter, log aspect ratio, circularity, solidity; their covariance
    is that of the examples plus a tolerance (see `shape.TOLERANCE`), since few examples understate
    it. A mean over masks is won by deleting all but one; an area that can only be earned by shapes
    like the examples is not. Ours: mean shape objectives collapsed in SAM* (arXiv 2509.07047).
    """
    assert view.marks.prior is not None
    q = closeness(view.features.descriptors(view.ids), view.marks.prior)
    like = float((np.where(view.fragments, 0.0, q) * view.areas).sum())
    return 2 * like / (float(view.areas.sum()) + max(count(view.features.foreground), 1))


def _mean_nearness(view: View, column: int, target: float | None) -> float:
    ratio = np.maximum(view.features.shape(view.ids)[:, column], 1e-6) / (target or 1.0)
    near = np.where(view.fragments, 0.0, np.minimum(ratio, 1 / ratio))
    return view.paired(float(near.mean()))
