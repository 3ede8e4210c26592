"""Rewards for expected statistics of all objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy

from napari_samstar.core.rewards.registry import reward

if TYPE_CHECKING:
    from napari_samstar.core.rewards.view import View


@reward(
    label="Expected sizes",
    help="The diameters have the expected distribution.",
    objective=0,
    weight=0.0,
    applies=lambda view: view.expectations.diameter is not None,
    needs="the median diameter",
)
def size_distribution(view: View) -> float:
    """1 - sup |F_N - F|, paired with the objects found.

    One minus the Kolmogorov distance: F_N is the distribution of the d_i and F the expected
    log-normal one, with the given median and geometric standard deviation (1.3 unless given). Ours.
    """
    expectations = view.expectations
    d = np.sort(view.diameters)
    median, spread = expectations.diameter or 1.0, expectations.spread or 1.3
    z = np.log(np.maximum(d, 1e-9) / median) / np.log(spread)
    expected = scipy.special.ndtr(z)
    n = len(d)
    above = np.arange(1, n + 1) / n - expected
    below = expected - np.arange(n) / n
    return view.paired(1 - float(max(above.max(), below.max())))


@reward(
    label="Least spacing",
    help="Neighbouring objects are not closer than the least spacing.",
    objective=1,
    weight=0.0,
    applies=lambda view: view.expectations.spacing is not None,
    needs="the least spacing",
)
def spacing(view: View) -> float:
    """Share of masks whose nearest neighbour's centre is at least d_min away, paired.

    Centres are those of the boxes; for a single mask the share is 1. After the spacing reward of
    arXiv 2404.14146, which gives no formula.
    """
    if len(view.ids) < 2:
        return view.paired(1.0)
    distances, _ = scipy.spatial.KDTree(view.centres).query(view.centres, k=2)
    return view.paired(float((distances[:, 1] >= (view.expectations.spacing or 0.0)).mean()))
