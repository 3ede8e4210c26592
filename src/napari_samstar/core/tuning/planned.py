"""A wide search that plans by cost: which arms to open, then which thresholds to try in them.

1. Open the base arm and try a few thresholds in it.
2. Open one arm after another, the one of the most promise for its cost, while the budget allows;
   in each try the same thresholds.
3. Successive halving: the better half of the arms gets more thresholds, until three are left.
4. NSGA-II over the thresholds of these three, and over which of them.

Steps 1 to 3 follow from the budget of cost alone, so that a larger number of trials only goes on.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samstar.core.amg.config import AmgConfig, Setting
from napari_samstar.core.tuning import nsga2
from napari_samstar.core.tuning.arms import Arm, Ledger, arms_of
from napari_samstar.core.tuning.config import WARM_STARTS, StudyConfig, Trial, space
from napari_samstar.core.tuning.front import elite
from napari_samstar.core.tuning.surrogate import promise

if TYPE_CHECKING:
    from napari_samstar.core.amg.bank import ProposalBank
    from napari_samstar.core.progress import Progress
    from napari_samstar.core.rewards.goal import Goal

SPREAD = 3
"""Thresholds tried in each arm besides the defaults and the warm starts."""

MORE = 4
"""Thresholds tried in each arm that a halving leaves."""

MOST_ARMS = 16
"""Arms that are opened at most: with those of the halvings some 190 trials, half of the usual."""

FINALISTS = 3
"""Arms that go on to NSGA-II."""

ARM = "arm"
"""The variable of NSGA-II that says which of them."""


def search(
    evaluate: nsga2.Evaluate,
    goal: Goal,
    study_config: StudyConfig,
    banks: Sequence[ProposalBank],
    known: Iterable[Trial] = (),
) -> Iterator[Progress | Trial]:
    """Run a search of the scope "wide"; yields every `Trial` as it is made, and `Progress`.

    The defaults and the warm starts are tried first, in the base arm: the front never lies below
    them.

    Parameters
    ----------
    study_config : StudyConfig
        With its factors and its cost, see `factors.planned`.
    banks : sequence of ProposalBank
        Of the images that the search sees; they say what an arm costs.
    evaluate, goal, known
        See `nsga2.search`.
    """
    work = _Search(evaluate, goal, study_config, banks, known)
    steps = work.steps()
    for step in steps:
        yield step
        work.left -= isinstance(step, Trial)
        if not work.left:
            return


def random_search(
    evaluate: nsga2.Evaluate,
    study_config: StudyConfig,
    banks: Sequence[ProposalBank],
    known: Iterable[Trial] = (),
) -> Iterator[Progress | Trial]:
    """Evaluate uniformly drawn arms and thresholds: the baseline at equal cost.

    Arms are opened as they are drawn. One that costs more than what is left of the budget is
    replaced by an open one, each equally often, and the first one by the base.
    """
    variables, names = space(study_config), [name for name, _ in study_config.factors]
    base, *others = arms_of(study_config, banks)
    arms = {arm.values: arm for arm in (base, *others)}
    ledger, judge = Ledger(study_config.cost), nsga2.Judge(evaluate, known)
    rng = np.random.default_rng([study_config.seed, 2])
    opened: list[Arm] = []
    for k, x in enumerate(nsga2.random_values(variables, study_config)):
        turn = float(rng.random())
        arm = arms.get(tuple(x[name] for name in names))
        if arm not in opened and (arm is None or not ledger.affords(arm)):
            arm = opened[int(turn * len(opened))] if opened else base
        if arm not in opened:
            ledger.open(arm)
            opened.append(arm)
        x |= dict(zip(names, arm.values, strict=True))
        config = nsga2.config_of(x, study_config.base, variables)
        rewards, n_masks = yield from judge(config)
        yield Trial(config, rewards, n_masks, k // study_config.population, "random")


@dataclass(eq=False)
class _Open:
    """An open arm and what was tried in it."""

    arm: Arm
    trials: list[Trial] = field(default_factory=list)


class _Search:
    """The state of one search; `left` trials may still be yielded."""

    def __init__(
        self,
        evaluate: nsga2.Evaluate,
        goal: Goal,
        study_config: StudyConfig,
        banks: Sequence[ProposalBank],
        known: Iterable[Trial],
    ) -> None:
        self.left = study_config.trials
        self._goal, self._study = goal, study_config
        self._judge = nsga2.Judge(evaluate, known)
        self._waiting = arms_of(study_config, banks)
        self._ledger = Ledger(study_config.cost)
        self._open: list[_Open] = []
        self._generation = 0
        self._tried: set[AmgConfig] = set()
        factors = dict(study_config.factors)
        self._thresholds = {n: s for n, s in space(study_config).items() if n not in factors}

    def steps(self) -> Iterator[Progress | Trial]:
        """Run all steps; it may be left at any of them."""
        yield from self._first()
        while len(self._open) < MOST_ARMS:
            arm = self._next()
            if arm is None:
                break
            yield from self._probe(self._opened(arm), self._probes())
        alive = list(self._open)
        for turn in range(1, MOST_ARMS):
            if len(alive) <= FINALISTS:
                break
            alive = sorted(alive, key=self._best, reverse=True)[: max(FINALISTS, len(alive) // 2)]
            for one in alive:
                yield from self._probe(one, self._spread(MORE, turn))
        yield from self._evolved(alive)

    # --- arms -------------------------------------------------------------------------------

    def _first(self) -> Iterator[Progress | Trial]:
        """Open the base, and try the user's or an earlier run's starts where they belong."""
        base = next(a for a in self._waiting if a.config == self._study.base)
        yield from self._probe(self._opened(base), self._probes(), first=True)
        by_values = {arm.values: arm for arm in (base, *self._waiting)}
        names = [name for name, _ in self._study.factors]
        for config in self._study.starts:
            arm = by_values.get(tuple(getattr(config, name) for name in names))
            if arm is None:
                continue
            there = next((one for one in self._open if one.arm is arm), None)
            yield from self._try(there or self._opened(arm), config, "start")

    def _opened(self, arm: Arm) -> _Open:
        self._ledger.open(arm)
        self._waiting.remove(arm)
        self._open.append(_Open(arm))
        return self._open[-1]

    def _next(self) -> Arm | None:
        """Return the arm of the highest promise for its cost; None where none is affordable."""
        arms = [arm for arm in self._waiting if self._ledger.affords(arm)]
        if not arms:
            return None
        values = [one.arm.values for one in self._open]
        outcomes = [self._best(one) for one in self._open]
        gains = promise(values, outcomes, [arm.values for arm in arms])
        # An arm that shares all its work with open ones costs nothing.
        costs = np.array([max(self._ledger.cost(arm), 1.0) for arm in arms])
        return arms[int(np.argmax(gains / costs))]

    def _best(self, one: _Open) -> float:
        """Return the highest weighted mean of all rewards in an arm."""
        return max((self._goal.total(e.rewards) for e in one.trials), default=0.0)

    # --- thresholds -------------------------------------------------------------------------

    def _probes(self) -> list[dict[str, Any]]:
        """Return the thresholds that are tried in every arm: the defaults come first."""
        names = self._thresholds
        defaults = nsga2.vanilla(self._study.base, names)
        warm = [defaults.replace(**{n: v for n, v in start.items() if n in names})
                for start in WARM_STARTS]  # fmt: skip
        return [*(nsga2.values_of(c, names) for c in (defaults, *warm)), *self._spread(SPREAD, 0)]

    def _spread(self, n: int, turn: int) -> list[dict[str, Any]]:
        return nsga2.spread_values(self._thresholds, n, [self._study.seed, turn])

    def _probe(
        self, one: _Open, thresholds: Iterable[dict[str, Any]], *, first: bool = False
    ) -> Iterator[Progress | Trial]:
        for k, x in enumerate(thresholds):
            origin = "search"
            if first and k <= len(WARM_STARTS):
                origin = "start" if k else "defaults"
            config = nsga2.config_of(x, one.arm.config, self._thresholds)
            yield from self._try(one, config, origin)
        self._generation += 1

    def _try(self, one: _Open, config: AmgConfig, origin: str) -> Iterator[Progress | Trial]:
        if config in self._tried:
            return
        self._tried.add(config)
        rewards, n_masks = yield from self._judge(config)
        one.trials.append(Trial(config, rewards, n_masks, self._generation, origin))
        yield one.trials[-1]

    # --- NSGA-II ----------------------------------------------------------------------------

    def _evolved(self, alive: Sequence[_Open]) -> Generator[Progress | Trial]:
        """Run NSGA-II over the finalists, from the best of what was tried in them."""
        bases = [one.arm.config for one in alive]
        variables = dict(self._thresholds)
        if len(bases) > 1:
            choices = tuple(str(k) for k in range(len(bases)))
            variables[ARM] = Setting("Arm", "", 0, 0, 0, "nothing", choices=choices)

        def to_config(x: dict[str, Any]) -> AmgConfig:
            base = bases[int(x.get(ARM, 0))]
            return nsga2.config_of({n: x[n] for n in self._thresholds}, base, self._thresholds)

        tried = [(e, k) for k, one in enumerate(alive) for e in one.trials]
        best = _elite([e for e, _ in tried], self._goal, self._study.population)
        arm_of = {e.config: k for e, k in tried}
        first = [nsga2.values_of(e.config, self._thresholds) | {ARM: str(arm_of[e.config])}
                 for e in best]  # fmt: skip
        missing = self._study.population - len(first)
        first += nsga2.spread_values(variables, missing, [self._study.seed, MOST_ARMS])
        first = [{name: x[name] for name in variables} for x in first]
        told = frozenset(e.config for e in best)
        for step in nsga2.evolve(self._judge, self._goal, variables, to_config, first, self._study,
                                 self.left, told):  # fmt: skip
            if isinstance(step, Trial):
                yield replace(step, generation=self._generation + step.generation)
            else:
                yield step


def _elite(trials: list[Trial], goal: Goal, n: int) -> list[Trial]:
    """Return up to n trials: the front's, then those of the highest weighted mean."""
    found = elite(trials, goal, n)
    configs = {e.config for e in found}
    rest = sorted(trials, key=lambda e: goal.total(e.rewards), reverse=True)
    return [*found, *(e for e in rest if e.config not in configs)][:n]
