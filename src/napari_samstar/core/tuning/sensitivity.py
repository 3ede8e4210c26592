"""Which settings matter: how much of the outcome's variance each setting explains by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_samstar.core.amg.config import SETTINGS, Setting

if TYPE_CHECKING:
    from napari_samstar.core.rewards.goal import Goal
    from napari_samstar.core.tuning.config import Trial

Values = NDArray[np.float64]

BINS = 8
"""Most bins along a setting."""

LEAST_IN_BIN = 5
"""Evaluations that a bin holds at least, unless it is a rung of a ladder."""


@dataclass(frozen=True)
class Effect:
    """The effect of one setting on the weighted mean of all rewards.

    Attributes
    ----------
    name : str
        Of the setting.
    share : float
        Share of the variance that it explains by itself, 0 to 1.
    at : tuple of float
        Mean value of the setting in each bin, ascending.
    mean, spread : tuple of float
        Mean and standard deviation of the weighted mean of all rewards in each bin.
    """

    name: str
    share: float
    at: tuple[float, ...]
    mean: tuple[float, ...]
    spread: tuple[float, ...]

    @property
    def setting(self) -> Setting:
        """Label and help."""
        return SETTINGS[self.name]


def sensitivity(trials: Sequence[Trial], goal: Goal) -> tuple[Effect, ...]:
    """Return the effect of every setting that varied, the strongest first.

    The first-order effect of a setting x on the total y is Var(E[y | x]) / Var(y) (Sobol's index,
    Saltelli et al., Global Sensitivity Analysis, 2008). E[y | x] is the mean of y in b bins of x
    with equal counts (each rung of a ladder is a bin). Chance alone raises the variance of bin
    means, so the estimate is Kelley's epsilon squared (PNAS 1935),

        (SS_between - (b - 1) MS_within) / SS_total, at least 0,

    with MS_within = SS_within / (n - b). It is unbiased where settings are drawn independently,
    as random search draws them; a search that converges draws good settings together, and a
    setting then also gets a share of what its companions do.
    """
    totals = np.array([goal.total(e.rewards) for e in trials])
    effects = []
    for name, setting in SETTINGS.items():
        values = [getattr(e.config, name) for e in trials]
        if None not in values and len(set(values)) > 1:
            x = np.array(values, dtype=np.float64)
            effects.append(_effect(name, x, totals, bool(setting.choices)))
    return tuple(sorted(effects, key=lambda e: -e.share))


def _effect(name: str, x: Values, y: Values, ladder: bool) -> Effect:
    bins = _bins(x, ladder)
    groups = [y[b] for b in bins]
    return Effect(
        name,
        epsilon_squared(groups),
        tuple(float(x[b].mean()) for b in bins),
        tuple(float(g.mean()) for g in groups),
        tuple(float(g.std()) for g in groups),
    )


def _bins(x: Values, ladder: bool) -> list[NDArray[np.int64]]:
    """Return positions in `x` for each bin, ascending in x; equal values share a bin."""
    unique, place, counts = np.unique(x, return_inverse=True, return_counts=True)
    if ladder:
        return [np.flatnonzero(place == k) for k in range(len(unique))]
    n = max(2, min(BINS, len(x) // LEAST_IN_BIN))
    middle = np.cumsum(counts) - counts / 2  # rank of each value, ties in the middle
    found = np.minimum((middle * n / len(x)).astype(np.int64), n - 1)[place]
    return [np.flatnonzero(found == k) for k in range(n) if (found == k).any()]


def epsilon_squared(groups: Sequence[Values]) -> float:
    """Return the share of variance between groups, corrected for chance, 0 to 1."""
    together = np.concatenate(groups)
    n, b = len(together), len(groups)
    total = float(((together - together.mean()) ** 2).sum())
    if b < 2 or n <= b or total <= 1e-12 * n:
        return 0.0
    within = sum(float(((g - g.mean()) ** 2).sum()) for g in groups)
    chance = (b - 1) * within / (n - b)
    return float(np.clip((total - within - chance) / total, 0, 1))
