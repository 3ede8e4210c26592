"""The reward for agreeing with what the user annotated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy

from napari_samstar.core.rewards.registry import reward

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_samstar.core.masks.store import Bool
    from napari_samstar.core.rewards.view import View

AGREEING_IOU = 0.5


def _annotated(view: View) -> bool:
    return view.marks.annotations is not None or view.marks.points is not None


@reward(
    name="annotations",
    label="My annotations",
    help="Where objects were annotated, the masks are these objects.",
    objective=0,
    weight=0.0,
    applies=_annotated,
    needs="some annotated objects",
)
def agreement(view: View) -> float:
    """F1 at IoU 0.5 against annotated objects, or of points that lie in a mask of their own.

    2 M / (T + K): T objects or points, M pairs of a one-to-one matching, K masks that are judged:
    those with at least half their area in the annotated region, or on annotated objects where no
    region is given; with points only, those that hold one.
    """
    if view.marks.annotations is not None:
        hit, judged = _against_labels(view, view.marks.annotations)
    else:
        assert view.marks.points is not None
        hit, judged = _against_points(view, view.marks.points)
    matched = hit[:, judged]
    if not matched.size:
        return 0.0
    rows, cols = scipy.optimize.linear_sum_assignment(matched, maximize=True)
    return 2 * int(matched[rows, cols].sum()) / (len(hit) + int(judged.sum()))


def _against_labels(view: View, labels: NDArray[np.integer]) -> tuple[Bool, Bool]:
    """Return which object (rows) each mask (columns) is, and which masks are judged."""
    values, compact = np.unique(np.append(labels, 0), return_inverse=True)
    truth = compact[:-1].reshape(labels.shape)
    sizes = np.bincount(truth.ravel(), minlength=len(values))
    region = view.marks.region if view.marks.region is not None else labels > 0
    hit = np.zeros((len(values), len(view.ids)), dtype=bool)
    judged = np.zeros(len(view.ids), dtype=bool)
    store = view.features.store
    for k, mask_id in enumerate(view.ids.tolist()):
        row, col, row1, col1 = store[mask_id].box
        window, area = store.window(mask_id), store[mask_id].area
        if not area:
            continue
        shared = np.bincount(truth[row:row1, col:col1][window], minlength=len(values))
        hit[:, k] = shared >= AGREEING_IOU * (sizes + area - shared)
        judged[k] = 2 * int(region[row:row1, col:col1][window].sum()) >= area
    return hit[values != 0], judged


def _against_points(view: View, points: NDArray[np.float64]) -> tuple[Bool, Bool]:
    """Return which point (rows) each mask (columns) holds, and which masks hold any."""
    store = view.features.store
    hit = np.zeros((len(points), len(view.ids)), dtype=bool)
    at = np.round(points).astype(int)
    for k, mask_id in enumerate(view.ids.tolist()):
        row, col, row1, col1 = store[mask_id].box
        window = store.window(mask_id)
        inside = ((at >= (row, col)) & (at < (row1, col1))).all(axis=1)
        hit[inside, k] = window[at[inside, 0] - row, at[inside, 1] - col]
    return hit, np.asarray(hit.any(axis=0))
