"""Weights that explain which trials the user applied, and which were seen and passed over.

A suggestion only: nothing here changes a goal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from napari_samstar.core.rewards.goal import Goal
from napari_samstar.core.rewards.presets import PRESETS
from napari_samstar.core.rewards.registry import REWARDS

MAX_WEIGHT = 3.0
"""The largest weight that is suggested: the end of the sliders."""
SHARPNESS = 100.0
"""How sure a choice is: 0.01 in the weighted mean of rewards is 1 in the log of the odds. On a
front the weighted means differ by few hundredths."""
SPREAD = 0.25
"""Standard deviation of the prior of each weight, as a share of the sum of all weights."""
LEAST_CHANGE = 0.15
"""Weights that would move less stay: the sliders have steps of 0.1."""
LEAST_CHOICES, LEAST_SEARCHES = 3, 2
"""Evidence without which nothing is suggested: choices other than the proposal, and searches."""
MOST_CHANCE = 1 / 8
"""The better agreement may be no more likely by chance alone: that of three wins without a loss."""
MOST_CHOICES = 40
"""The latest of one aim that are looked at: what a user wants changes, and the fit stays fast."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Option:
    """A trial that the user could have applied.

    Attributes
    ----------
    rewards : dict of str to float
        Raw rewards, as of `Trial.rewards`.
    n_masks : int
    """

    rewards: dict[str, float]
    n_masks: int


@dataclass(frozen=True)
class Choice:
    """The trial that a user applied, and the trials that they passed over for it.

    Attributes
    ----------
    applied : Option
    passed : tuple of Option
        The trials that were on show before, and the one that the tool had proposed; none of them
        has the rewards of `applied`.
    own : bool
        Whether the user applied another trial than the tool had proposed.
    weights : dict of str to float
        Those of the goal at that time.
    search : str
        Identifier of the search. A later choice in the same search replaces an earlier one.
    image, name : str
        `Micrograph.key`, and the image's name.
    when : str
        Time, ISO 8601 with the offset from UTC.
    """

    applied: Option
    passed: tuple[Option, ...]
    own: bool
    weights: dict[str, float]
    search: str
    image: str
    name: str
    when: str

    @property
    def aim(self) -> str:
        """The preset that the goal of that time is nearest to."""
        return aim_of(self.weights)

    def agrees(self, goal: Goal) -> bool:
        """Return whether `goal` ranks the applied trial above all that were passed over."""
        best = max(goal.total(option.rewards) for option in self.passed)
        return goal.total(self.applied.rewards) > best

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Choice:
        """Undo `to_dict`; KeyError, TypeError or ValueError where values are missing or wrong."""
        passed = tuple(_option(each) for each in values["passed"])
        if not passed:
            raise ValueError("nothing was passed over")
        return cls(
            applied=_option(values["applied"]),
            passed=passed,
            own=bool(values["own"]),
            weights=_numbers(values["weights"]),
            **{name: str(values[name]) for name in ("search", "image", "name", "when")},
        )


@dataclass(frozen=True)
class Suggestion:
    """Weights that agree better with what the user chose than those of the present goal.

    Attributes
    ----------
    goal : Goal
        With the suggested weights.
    present : Goal
        The one that they were suggested for.
    choices : tuple of Choice
        What it is based on.
    agree, agree_now : int
        How many of the choices agree with the weights fitted to all the other choices, and with
        the present weights.
    """

    goal: Goal
    present: Goal
    choices: tuple[Choice, ...]
    agree: int
    agree_now: int

    @property
    def changes(self) -> dict[str, float]:
        """The weights that are others than the present ones, by the name of the reward."""
        now, then = self.present.weights, self.goal.weights
        return {n: then[n] for n in REWARDS if n in then and then[n] != now.get(n, 0.0)}

    @property
    def evidence(self) -> str:
        """The number of choices that agree, as a sentence."""
        return (
            f"{self.agree} of your {len(self.choices)} choices agree with it, "
            f"{self.agree_now} with the present weights."
        )


def aim_of(weights: Mapping[str, float]) -> str:
    """Return the name of the preset whose weights have the least angle to `weights`."""
    names = tuple(REWARDS)
    own = _vector(weights, names)

    def likeness(name: str) -> float:
        other = _vector(PRESETS[name].weights, names)
        return float(own @ other) / max(float(np.linalg.norm(other)), 1e-12)

    return max(PRESETS, key=likeness)


def choices_for(choices: Sequence[Choice], goal: Goal) -> tuple[Choice, ...]:
    """Return the latest choices under goals with the same aim, one for each search."""
    last = {choice.search: choice for choice in choices}
    aim = aim_of(goal.weights)
    return tuple(c for c in last.values() if c.aim == aim)[-MOST_CHOICES:]


def suggest(choices: Sequence[Choice], goal: Goal) -> Suggestion | None:
    """Suggest weights in place of those of `goal`; None without enough evidence. Ours.

    Parameters
    ----------
    choices : sequence of Choice
        Oldest first; those under goals with another aim are left out.
    goal : Goal
        The present one; its objectives stay as they are.

    Notes
    -----
    Every choice is predicted by weights that were fitted to all the others. The suggestion exists
    only where more than half of them agree with their prediction, and where the sign test
    (McNemar's, exact and one-sided) says that the gain over the present weights is hardly chance.
    """
    known = choices_for(choices, goal)
    own = [c for c in known if c.own]
    if len(own) < LEAST_CHOICES or len({c.search for c in own}) < LEAST_SEARCHES:
        return None
    now = [c.agrees(goal) for c in known]
    left_out = [known[:k] + known[k + 1 :] for k in range(len(known))]
    then = [c.agrees(fit(rest, goal)) for c, rest in zip(known, left_out, strict=True)]
    won = sum(t and not n for t, n in zip(then, now, strict=True))
    lost = sum(n and not t for t, n in zip(then, now, strict=True))
    fitted = fit(known, goal)
    clear = 2 * sum(then) > len(known) and _chance(won, lost) <= MOST_CHANCE
    if not clear or fitted.weights == goal.weights:
        return None
    return Suggestion(fitted, goal, known, sum(then), sum(now))


def fit(choices: Sequence[Choice], goal: Goal) -> Goal:
    """Return `goal` with the most probable weights after `choices`.

    The probability that a trial is chosen is proportional to exp(v . r), with its raw rewards r:
    Luce's choice axiom (1959), which for two trials is the model of Bradley and Terry (1952). The
    prior of v >= 0 is normal around the present weights, scaled to the sum `SHARPNESS`, with the
    standard deviation `SPREAD` x `SHARPNESS` for each weight.
    """
    names = tuple(REWARDS)
    present = _vector(goal.weights, names)
    scale = SHARPNESS / present.sum()
    differences, real = _differences(choices, names)
    found = minimize(
        _cost, scale * present, args=(differences, real, scale * present), jac=True,
        method="L-BFGS-B", bounds=[(0, None)] * len(names),
    )  # fmt: skip
    return _rounded(np.asarray(found.x), present, names, goal)


def _differences(
    choices: Sequence[Choice], names: Sequence[str]
) -> tuple[Values, NDArray[np.bool_]]:
    """Return rewards of trials passed over minus the applied one's, (choices, trials, rewards).

    And which trials are real, shape (choices, trials): the others fill the array up.
    """
    most = max((len(c.passed) for c in choices), default=1)
    out, real = np.zeros((len(choices), most, len(names))), np.zeros((len(choices), most), bool)
    for k, choice in enumerate(choices):
        rows = [_vector(option.rewards, names) for option in choice.passed]
        out[k, : len(rows)] = np.array(rows) - _vector(choice.applied.rewards, names)
        real[k, : len(rows)] = True
    return out, real


def _cost(
    v: Values, differences: Values, real: NDArray[np.bool_], prior: Values
) -> tuple[float, Values]:
    """Return the negative log posterior of the weights `v`, shape (n,), and its gradient."""
    off = (v - prior) / (SPREAD * SHARPNESS) ** 2
    exponents = np.where(real, differences @ v, -np.inf)
    top = np.maximum(exponents.max(axis=1, initial=0.0), 0.0)  # keeps exp within its range
    odds = np.exp(exponents - top[:, None])
    total = odds.sum(axis=1) + np.exp(-top)
    cost = 0.5 * float(off @ (v - prior)) + float((np.log(total) + top).sum())
    slope = off + np.einsum("ij,ijk->k", odds / total[:, None], differences)
    return cost, slope


def _rounded(v: Values, present: Values, names: Sequence[str], goal: Goal) -> Goal:
    """Return the goal with the weights `v`, on the scale and with the steps of the sliders."""
    to_sum = float(present.sum()) / max(float(v.sum()), 1e-12)
    scaled = v * min(to_sum, MAX_WEIGHT / max(float(v.max()), 1e-12))
    kept = np.abs(scaled - present) < LEAST_CHANGE
    weights = np.where(kept, present, np.minimum(scaled.round(1), MAX_WEIGHT))
    if not weights.any():
        return goal
    return Goal(
        dict(goal.weights) | dict(zip(names, weights.tolist(), strict=True)), goal.objectives
    )


def _chance(won: int, lost: int) -> float:
    """Return the probability of at least `won` wins among won + lost fair coins."""
    n = won + lost
    return float(sum(comb(n, k) for k in range(won, n + 1)) / 2**n)


def _vector(values: Mapping[str, float], names: Sequence[str]) -> Values:
    return np.array([values.get(name, 0.0) for name in names], dtype=np.float64)


def _option(values: Mapping[str, Any]) -> Option:
    return Option(_numbers(values["rewards"]), int(values["n_masks"]))


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Return finite numbers by name; ValueError where one is not."""
    numbers = {str(name): float(value) for name, value in values.items()}
    if not all(np.isfinite(list(numbers.values()))):
        raise ValueError("a number is not finite")
    return numbers
