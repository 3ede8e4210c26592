"""The registry of rewards."""

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
"""Entry points of this group name modules that register rewards; see docs/development.md."""

FORMULAS = 3
"""Version of the formulas, raised when one changes: rewards of older journals are not reused."""

# Both take a `View`; its module is not imported here, so that goals do not depend on it.
Compute = Callable[[Any], float]
Applies = Callable[[Any], bool]


@dataclass(frozen=True)
class Reward:
    """A named reward.

    Attributes
    ----------
    name, label, help : str
        Identifier; a few words; one sentence.
    objective : int
        Default objective, 0 to 2.
    weight : float
        Default weight; 0 where the reward needs input from the user.
    compute : callable
        From a non-empty `View` to a number in [0, 1].
    applies : callable
        Whether the image, the expectations and the marks of a `View` hold all that the reward
        needs. It must not depend on the selection, so that it is equal for all configurations.
    needs : str
        Input that the user must give, in words; empty if none.
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
"""All rewards by name; the order is that of the rows in panels and tables."""


def always(view: Any) -> bool:
    """Return True: the default of `Reward.applies`."""
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
    """Return a decorator that registers a function as a reward; see `Reward`.

    The name of the reward is that of the function unless `name` is given.

    Raises
    ------
    UserError
        If another module has registered a reward of this name.
    """

    def register(compute: Compute) -> Compute:
        key = name or compute.__name__
        if key in REWARDS and REWARDS[key].compute.__module__ != compute.__module__:
            raise UserError(f"There is a reward {key!r} already: give yours another name.")
        REWARDS[key] = Reward(key, label, help, objective, weight, compute, applies, needs)
        return compute

    return register


@cache
def load_user_rewards() -> tuple[str, ...]:
    """Import the modules of the entry points of `GROUP`; return a sentence for each failure."""
    failures = []
    for entry in metadata.entry_points(group=GROUP):
        try:
            entry.load()
        except Exception as error:  # an error in another package must not stop this one
            log.warning("rewards %s do not load", entry.value, exc_info=error)
            failures.append(f"The rewards of {entry.value} do not load: {error}.")
    return tuple(failures)
