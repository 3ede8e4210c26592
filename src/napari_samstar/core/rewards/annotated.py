"""The reward for agreement with annotations of the user."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy

from napari_samstar.core.rewards.registry import reward

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_samstar.core.masks.store import Bool
    from napari_samstar.core.rewards.view import View

MATCH_IOU = 0.5
"""IoU from which a mask matches an annotated object."""


def _has_annotations(view: View) -> bool:
    return view.marks.annotations is not None or view.marks.points is not None


@reward(
    name="annotations",
    label="My annotations",
    help="The masks agree with the annotated objects.",
    objective=0,
    weight=0.0,
    applies=_has_annotations,
    needs="some annotated objects",
)
def agreement(view: View) -> float:
    """F1 against annotated objects at IoU 0.5, or against points that each need their own mask.

    2 M / (T + K): T objects or points, M pairs of a one-to-one matching, K masks that are compared:
    those with at least half their area in the annotated region, or on annotated objects if no
    region is given; with points only, those that contain a point.
    """
    if view.marks.annotations is not None:
        matches, compared = _match_objects(view, view.marks.annotations)
    else:
        assert view.marks.points is not None
        matches, compared = _match_points(view, view.marks.points)
    candidates = matches[:, compared]
    if not candidates.size:
        return 0.0
    rows, cols = scipy.optimize.linear_sum_assignment(candidates, maximize=True)
    return 2 * int(candidates[rows, cols].sum()) / (len(matches) + int(compared.sum()))


def _match_objects(view: View, labels: NDArray[np.integer]) -> tuple[Bool, Bool]:
    """Return whether object t matches mask k, shape (T, k), and which masks to compare, (k,)."""
    values, compact = np.unique(np.append(labels, 0), return_inverse=True)
    truth = compact[:-1].reshape(labels.shape)
    sizes = np.bincount(truth.ravel(), minlength=len(values))
    region = view.marks.region if view.marks.region is not None else labels > 0
    matches = np.zeros((len(values), len(view.ids)), dtype=bool)
    compared = np.zeros(len(view.ids), dtype=bool)
    store = view.features.store
    for k, mask_id in enumerate(view.ids.tolist()):
        row, col, row1, col1 = store[mask_id].box
        window, area = store.window(mask_id), store[mask_id].area
        if not area:
            continue
        shared = np.bincount(truth[row:row1, col:col1][window], minlength=len(values))
        matches[:, k] = shared >= MATCH_IOU * (sizes + area - shared)
        compared[k] = 2 * int(region[row:row1, col:col1][window].sum()) >= area
    return matches[values != 0], compared


def _match_points(view: View, points: NDArray[np.float64]) -> tuple[Bool, Bool]:
    """Return whether point t lies in mask k, shape (T, k), and which masks contain any, (k,)."""
    store = view.features.store
    matches = np.zeros((len(points), len(view.ids)), dtype=bool)
    at = np.round(points).astype(int)
    for k, mask_id in enumerate(view.ids.tolist()):
        row, col, row1, col1 = store[mask_id].box
        window = store.window(mask_id)
        inside = ((at >= (row, col)) & (at < (row1, col1))).all(axis=1)
        matches[inside, k] = window[at[inside, 0] - row, at[inside, 1] - col]
    return matches, np.asarray(matches.any(axis=0))
