"""Evaluations + goal -> Pareto front; cheap, so that weights can be moved after the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_samstar.core.rewards.goal import Goal
    from napari_samstar.core.tuning.config import Trial

Points = NDArray[np.float64]

SAME = 0.01
"""Rewards or their means that differ by less are called equal: with some fifty objects, one more or
less changes the usual rewards by about this."""


@dataclass(frozen=True, eq=False)
class Front:
    """All evaluations seen through one goal; n evaluations, m objectives, higher is better.

    Attributes
    ----------
    trials : tuple of Trial, length n
    goal : Goal
    points : ndarray of float64, shape (n, m)
        Objectives.
    members : ndarray of int64
        Positions of the non-dominated evaluations, ascending in the first objective.
    knee : int
        Position of the member with the best balance.
    best : int
        Position of the evaluation with the highest weighted mean of all rewards; that of SAM's
        default settings where no other is better by more than `SAME`.
    """

    trials: tuple[Trial, ...]
    goal: Goal
    points: Points
    members: NDArray[np.int64]
    knee: int
    best: int

    @property
    def hypervolume(self) -> float:
        """Volume that the front dominates above the origin, 0 to 1."""
        return hypervolume(self.points[self.members])

    @property
    def defaults(self) -> int | None:
        """Position of SAM's default settings, None if they were not evaluated."""
        origins = [e.origin for e in self.trials]
        return origins.index("defaults") if "defaults" in origins else None


def front(trials: Sequence[Trial], goal: Goal) -> Front:
    """Build the front; ValueError where there is no evaluation."""
    if not trials:
        raise ValueError("a front needs at least one evaluation")
    points = np.array([goal.values(e.rewards) for e in trials])
    members = non_dominated(points)
    knee = int(members[_knee(points[members])])
    return Front(tuple(trials), goal, points, members, knee, _best(trials, goal))


def _best(trials: Sequence[Trial], goal: Goal) -> int:
    """Return the position of the highest weighted mean, if it is clearly above the defaults'."""
    totals = [goal.total(e.rewards) for e in trials]
    best = int(np.argmax(totals))
    defaults = next((k for k, e in enumerate(trials) if e.origin == "defaults"), best)
    return best if totals[best] - totals[defaults] > SAME else defaults


def non_dominated(points: Points) -> NDArray[np.int64]:
    """Return positions of the non-dominated points, one for each distinct point.

    Sorted by the first objective, then the others, ascending.
    """
    unique, first = np.unique(points, axis=0, return_index=True)
    keep: list[int] = []
    best = np.empty((0, points.shape[1]))
    # From the highest first objective down, only members found before can dominate a point.
    for k in range(len(unique) - 1, -1, -1):
        if not (best >= unique[k]).all(axis=1).any():
            keep.append(k)
            best = unique[keep]
    return np.asarray(first[keep[::-1]], dtype=np.int64)


def elite(trials: Sequence[Trial], goal: Goal, n: int) -> list[Trial]:
    """Return up to `n` evaluations to start another search from: the best, then along the front.

    The one with the highest weighted mean comes first.
    """
    if not trials or n < 1:
        return []
    found = front(trials, goal)
    steps = np.linspace(0, len(found.members) - 1, min(n, len(found.members))).round()
    along = found.members[steps.astype(int)].tolist()
    picked = list(dict.fromkeys([found.best, *along]))[:n]
    return [trials[k] for k in picked]


def _knee(points: Points) -> int:
    """Return the point farthest above the plane through the front's extremes.

    With every objective scaled to its range on the front, that is the greatest sum.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    scaled = (points - low) / np.where(high > low, high - low, 1)
    return int(np.argmax(scaled.sum(axis=1)))


def hypervolume(points: Points) -> float:
    """Return the volume between the origin and the points, of shape (n, m), m = 1 to 3."""
    if not len(points):
        return 0.0
    if points.shape[1] == 1:
        return float(points.max())
    order = np.argsort(-points[:, -1], kind="stable")
    heights = np.append(points[order, -1], 0.0)
    # Slices along the last axis: each spans the points at least as high.
    return sum(
        float(heights[k] - heights[k + 1]) * hypervolume(points[order[: k + 1], :-1])
        for k in range(len(order))
        if heights[k] > heights[k + 1]
    )


def hypervolume_by_generation(trials: Sequence[Trial], goal: Goal) -> list[float]:
    """Return the hypervolume after generation 0, 1, ..."""
    generations = np.array([e.generation for e in trials], dtype=np.int64)
    last = int(generations.max(initial=-1))
    ends = [int(np.count_nonzero(generations <= g)) for g in range(last + 1)]
    return hypervolume_after(sorted(trials, key=lambda e: e.generation), goal, ends)


def hypervolume_after(trials: Sequence[Trial], goal: Goal, counts: Sequence[int]) -> list[float]:
    """Return the hypervolume of the first n evaluations, for each n in ascending `counts`."""
    points = np.array([goal.values(e.rewards) for e in trials])
    volumes: list[float] = []
    best, before = points[:0], 0
    for n in counts:
        # What was dominated stays dominated.
        best = np.concatenate([best, points[before:n]])
        best, before = best[non_dominated(best)] if len(best) else best, n
        volumes.append(hypervolume(best))
    return volumes
