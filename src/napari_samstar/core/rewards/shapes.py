"""Rewards for shapes: compared with a target value, or with examples that the user marked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_samstar.core.rewards.registry import reward

if TYPE_CHECKING:
    from napari_samstar.core.rewards.view import View


@reward(
    label="Circularity",
    help="Outlines are as round as expected.",
    objective=2,
    weight=0.0,
)
def circularity(view: View) -> float:
    """Mean of min(x / t, t / x), 0 for a fragment, paired with the objects found.

    x = 4 pi a_i / P_i^2, at most 1, with P_i the perimeter; t is the target, 1 unless given. A mean
    over all shapes cannot tell a mixture of shapes from their average, see `shape_prior`. Ours.
    """
    return _mean_ratio(view, 0, view.expectations.circularity)


@reward(
    label="Solidity",
    help="Outlines are as convex as expected.",
    objective=2,
    weight=0.0,
)
def solidity(view: View) -> float:
    """Mean of min(x / t, t / x), 0 for a fragment, paired with the objects found.

    x is a_i over the area of its convex hull, at most 1; t is the target, 1 unless given. Ours.
    """
    return _mean_ratio(view, 1, view.expectations.solidity)


@reward(
    label="Aspect ratio",
    help="Objects are as elongated as expected.",
    objective=2,
    weight=0.0,
)
def aspect_ratio(view: View) -> float:
    """Mean of min(x / t, t / x), 0 for a fragment, paired with the objects found.

    x is the major over the minor axis of the ellipse with the same second moments; t is the
    target, 1 unless given. Ours.
    """
    return _mean_ratio(view, 2, view.expectations.aspect_ratio)


@reward(
    label="Like my examples",
    help="Objects have the shape and size of the examples.",
    objective=2,
    weight=0.0,
    applies=lambda view: bool(view.marks.shapes),
    needs="a few good objects",
)
def shape_prior(view: View) -> float:
    """P / (N + T): half the expected F1 for T objects like the examples, as in `likely_objects`.

    P is the sum of c_i l_i, with c_i the probability that m_i is an object (0 for a
    duplicate) and the likeness l_i = exp(-D_i^2 / 50), 0.6 at a Mahalanobis distance D_i of 5 and
    0 for a fragment. Descriptors: log diameter, log aspect ratio, circularity, solidity; their
    covariance is that of the examples plus a tolerance (see `shape.TOLERANCE`), because few
    examples underestimate it. T is the highest P that SAM's default thresholds and the warm starts
    of a search reach without zoom, or the number of examples if that is higher. A mean over masks
    would be highest with all masks but the best deleted; this is not. Ours: mean shape objectives
    collapsed in SAM* (arXiv 2509.07047).
    """
    examples = max(view.attainable.like_examples, len(view.marks.shapes))
    return view.like_examples / (len(view.ids) + examples)


def _mean_ratio(view: View, column: int, target: float | None) -> float:
    """Return the paired mean of min(x / t, t / x), x a column of `Features.shape`."""
    ratio = np.maximum(view.features.shape(view.ids)[:, column], 1e-6) / (target or 1.0)
    values = np.where(view.fragments, 0.0, np.minimum(ratio, 1 / ratio))
    return view.paired(float(values.mean()))
