"""Rewards for what is expected of all objects together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy

from napari_samstar.core.rewards.registry import reward

if TYPE_CHECKING:
    from napari_samstar.core.rewards.view import View


@reward(
    label="Expected sizes",
    help="The diameters are spread as expected.",
    objective=0,
    weight=0.0,
    applies=lambda view: view.expectations.diameter is not None,
    needs="the median diameter",
)
def size_distribution(view: View) -> float:
    """1 - sup |F_N - F|, paired with coverage.

    F_N is the distribution of the d_i and F the expected log-normal one, with the given median
    and geometric standard deviation (1.3 unless given): one minus the Kolmogorov distance. Ours.
    """
    wanted = view.expectations
    d = np.sort(view.diameters)
    z = np.log(np.maximum(d, 1e-9) / (wanted.diameter or 1.0)) / np.log(wanted.spread or 1.3)
    expected = scipy.special.ndtr(z)
    n = len(d)
    above = np.arange(1, n + 1) / n - expected
    below = expected - np.arange(n) / n
    return view.paired(1 - float(max(above.max(), below.max())))


@reward(
    label="Least spacing",
    help="Neighbours are not closer together than is physically possible.",
    objective=1,
    weight=0.0,
    applies=lambda view: view.expectations.spacing is not None,
    needs="the least spacing",
)
def spacing(view: View) -> float:
    """Share of masks whose nearest neighbour's centre is at least d_min away, paired with coverage.

    Centres are those of the boxes; a lone mask has no neighbour that is too near. After the
    spacing reward of arXiv 2404.14146, which gives no formula.
    """
    if len(view.ids) < 2:
        return view.paired(1.0)
    gaps, _ = scipy.spatial.KDTree(view.centres).query(view.centres, k=2)
    return view.paired(float((gaps[:, 1] >= (view.expectations.spacing or 0.0)).mean()))
