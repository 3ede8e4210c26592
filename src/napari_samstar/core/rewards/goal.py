"""The goal of a search: weights of rewards, grouped into up to three objectives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samstar.core.errors import UserError
from napari_samstar.core.rewards.registry import REWARDS

OBJECTIVES = ("Find everything", "Clean objects", "Right shapes")
"""Names of the objectives."""


def _default_weights() -> dict[str, float]:
    return {name: r.weight for name, r in REWARDS.items()}


def _default_objectives() -> dict[str, int]:
    return {name: r.objective for name, r in REWARDS.items()}


@dataclass(frozen=True)
class Goal:
    """Weights of rewards, and the objective that each reward belongs to.

    An objective is the weighted mean of its rewards, so it lies in [0, 1]; an objective without
    weight is left out. Rewards that are not named, or do not apply to an image, do not count.

    Attributes
    ----------
    weights : dict of str to float
        0 or more, by the name of the reward.
    objectives : dict of str to int
        0 to 2, by the name of the reward; `Reward.objective` where not given.
    """

    weights: Mapping[str, float] = field(default_factory=_default_weights)
    objectives: Mapping[str, int] = field(default_factory=_default_objectives)

    def __post_init__(self) -> None:
        for name, weight in self.weights.items():
            if name not in REWARDS:
                known = ", ".join(REWARDS)
                raise UserError(f"Unknown reward {name!r}; the rewards are {known}.")
            if not (np.isfinite(weight) and weight >= 0):
                raise UserError(f"The weight of {name} must be 0 or more, not {weight!r}.")
            if self._objective(name) not in range(len(OBJECTIVES)):
                raise UserError(f"The objective of {name} must be 0, 1 or 2.")
        if not any(self.weights.values()):
            raise UserError("All weights are 0: give at least one reward a weight above 0.")

    def _objective(self, name: str) -> int:
        return self.objectives.get(name, REWARDS[name].objective)

    @property
    def used(self) -> tuple[int, ...]:
        """The objectives with weight, ascending."""
        return tuple(sorted({self._objective(n) for n, w in self.weights.items() if w > 0}))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the objectives with weight."""
        return tuple(OBJECTIVES[k] for k in self.used)

    def values(self, rewards: Mapping[str, float]) -> NDArray[np.float64]:
        """Return the objectives with weight of a trial's raw `rewards`, shape (n_used,)."""
        sums = np.zeros((2, len(OBJECTIVES)))
        for name, weight in self.weights.items():
            if name in rewards:
                sums[:, self._objective(name)] += (weight * rewards[name], weight)
        used = list(self.used)
        return np.asarray(sums[0, used] / np.maximum(sums[1, used], 1e-12))

    def total(self, rewards: Mapping[str, float]) -> float:
        """Return the weighted mean of all rewards."""
        present = [(w, rewards[n]) for n, w in self.weights.items() if n in rewards]
        return sum(w * r for w, r in present) / max(sum(w for w, _ in present), 1e-12)

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary that JSON can hold."""
        return {"weights": dict(self.weights), "objectives": dict(self.objectives)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Goal:
        """Return the goal of a dictionary made by `to_dict`."""
        objectives = {k: int(v) for k, v in values.get("objectives", {}).items()}
        return cls({k: float(v) for k, v in values["weights"].items()}, objectives)
