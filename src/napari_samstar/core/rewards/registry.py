"""What a reward is, and the one table of all of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Any

from napari_samstar.core.errors import UserError

log = logging.getLogger("napari_samstar")

GROUP = "napari_samstar.rewards"
"""Entry points of this group name modules that register rewards; see docs/methods.md."""

FORMULAS = 2
"""Raised when what a reward means changes: rewards in older journals are then measured anew."""

# Both take a `View`; its module is not imported here, so that goals do not depend on it.
Compute = Callable[[Any], float]
Applies = Callable[[Any], bool]


@dataclass(frozen=True)
class Reward:
    """A named reward.

    Attributes
    ----------
    name, label, help : str
        Identifier; a few words; one plain sentence.
    objective : int
        The objective, 0 to 2, that it belongs to unless the user says otherwise.
    weight : float
        Its weight unless the user says otherwise; 0 where it needs to be told something first.
    compute : callable
        From a non-empty `View` to a number in [0, 1].
    applies : callable
        Whether the image, the expectations and the marks of a `View` say enough to judge by. It
        must not look at the selection, so that it is the same for every configuration.
    needs : str
        What the user must give for it, in words; empty where nothing.
    """

    name: str
    label: str
    help: str
    objective: int
    weight: float
    compute: Compute
    applies: Applies
    needs: str = ""

    def __call__(self, view: Any) -> float:
        """Return the reward of `view`: 0 if it is empty, else within [0, 1]."""
        if not len(view.ids):
            return 0.0
        return float(min(1.0, max(0.0, self.compute(view))))


REWARDS: dict[str, Reward] = {}


def always(view: Any) -> bool:
    """Apply everywhere."""
    return True


def reward(
    *,
    label: str,
    help: str,
    objective: int,
    weight: float = 1.0,
    applies: Applies = always,
    needs: str = "",
    name: str = "",
) -> Callable[[Compute], Compute]:
    """Register the decorated function as a reward, under its own name unless `name` is given."""

    def register(compute: Compute) -> Compute:
        key = name or compute.__name__
        if key in REWARDS and REWARDS[key].compute.__module__ != compute.__module__:
            raise UserError(f"There is a reward {key!r} already: give yours another name.")
        REWARDS[key] = Reward(key, label, help, objective, weight, compute, applies, needs)
        return compute

    return register


@cache
def load_user_rewards() -> tuple[str, ...]:
    """Import what other packages offer under `GROUP`; returns a sentence for each that failed."""
    failures = []
    for entry in metadata.entry_points(group=GROUP):
        try:
            entry.load()
        except Exception as error:  # somebody else's code must not stop the program
            log.warning("rewards %s do not load", entry.value, exc_info=error)
            failures.append(f"The rewards of {entry.value} do not load: {error}.")
    return tuple(failures)
