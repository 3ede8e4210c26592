"""NSGA-II over SAM's settings, as a generator. The only file that imports pymoo."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pymoo.algorithms.moo.nsga2 import NSGA2, binary_tournament
from pymoo.core.evaluator import Evaluator as PymooEvaluator
from pymoo.core.mixed import MixedVariableDuplicateElimination, MixedVariableMating
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.termination import NoTermination
from pymoo.core.variable import Choice, Integer, Real
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.crossover.ux import UX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.mutation.rm import ChoiceRandomMutation
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.selection.tournament import TournamentSelection
from pymoo.problems.static import StaticProblem

from napari_samstar.core.amg.config import AmgConfig, Setting
from napari_samstar.core.amg.ladder import OFFSET_STEP
from napari_samstar.core.progress import Progress
from napari_samstar.core.tuning.config import (
    WARM_STARTS,
    EvaluationResult,
    StudyConfig,
    Trial,
    space,
)

if TYPE_CHECKING:
    from napari_samstar.core.rewards.goal import Goal

Evaluate = Callable[[AmgConfig], Iterator[Progress | EvaluationResult]]
"""Yields `Progress` while candidates are decoded, and at last the rewards and number of masks."""

X = dict[str, Any]
"""Values of the variables of a search by name, as pymoo has them."""


def search(
    evaluate: Evaluate, goal: Goal, study_config: StudyConfig, known: Iterable[Trial] = ()
) -> Iterator[Progress | Trial]:
    """Run NSGA-II; yields every `Trial` as it is made, and `Progress` in between.

    The defaults and a few warm starts are in the first population, so that the front never
    lies below them.

    Parameters
    ----------
    evaluate : callable
        See `Evaluate`.
    goal : Goal
    study_config : StudyConfig
    known : iterable of Trial
        Of an earlier or interrupted run with the same evaluator. Their configurations are yielded
        again where the search asks for them, but not evaluated again: the search follows from
        seed and results alone, so that it goes on exactly as if it had never been stopped.
    """
    variables = space(study_config)
    n_starts = 1 + len(WARM_STARTS) + len(study_config.starts)
    steps = evolve(
        Judge(evaluate, known),
        goal,
        variables,
        lambda x: config_of(x, study_config.base, variables),
        _first_population(variables, study_config),
        study_config,
        study_config.trials,
    )
    n = 0
    for step in steps:
        if isinstance(step, Trial):
            origin = "search" if n >= n_starts else "start" if n else "defaults"
            yield replace(step, origin=origin)
            n += 1
        else:
            yield step


class Judge:
    """Evaluates configurations, each once.

    Parameters
    ----------
    evaluate : callable
        See `Evaluate`.
    known : iterable of Trial
        Never evaluated again.
    """

    def __init__(self, evaluate: Evaluate, known: Iterable[Trial] = ()) -> None:
        self._evaluate = evaluate
        self._known = {e.config: (e.rewards, e.n_masks) for e in known}

    def __call__(self, config: AmgConfig) -> Generator[Progress, None, EvaluationResult]:
        """Return the rewards and the number of masks; yields progress."""
        if config not in self._known:
            for step in self._evaluate(config):
                if isinstance(step, Progress):
                    yield step
                else:
                    self._known[config] = step
        return self._known[config]


def evolve(
    judge: Judge,
    goal: Goal,
    variables: dict[str, Setting],
    to_config: Callable[[X], AmgConfig],
    first: Sequence[X],
    study_config: StudyConfig,
    trials: int,
    told: frozenset[AmgConfig] = frozenset(),
) -> Iterator[Progress | Trial]:
    """Run NSGA-II from a first population on; yields `trials` trials.

    Parameters
    ----------
    variables : dict of str to Setting
    to_config : callable
        Takes a value for each variable.
    first : sequence of dict
        Values of the first population.
    study_config : StudyConfig
        Gives population and seed.
    told : frozenset of AmgConfig
        Configurations of the first population that are not yielded, because they were before.
    """
    problem = _problem(variables, len(goal.used))
    algorithm = NSGA2(
        pop_size=study_config.population,
        sampling=Population.new(X=np.array(first, dtype=object)),
        mating=_mating(),
        eliminate_duplicates=MixedVariableDuplicateElimination(),
    )
    algorithm.setup(problem, termination=NoTermination(), seed=study_config.seed)
    done, generation = 0, 0
    while done < trials:
        offspring = algorithm.ask()
        if offspring is None or len(offspring) == 0:
            return
        costs = []
        for individual in offspring:
            config = to_config(individual.X)
            known = generation == 0 and config in told
            if not known and done == trials:
                return
            result = yield from judge(config)
            if not known:
                done += 1
                yield Trial(config, result[0], result[1], generation, "search")
            costs.append(-goal.values(result[0]))
        # pymoo minimises; the sign flips here and nowhere else
        PymooEvaluator().eval(StaticProblem(problem, F=np.array(costs)), offspring)
        algorithm.tell(infills=offspring)
        generation += 1


def random_search(
    evaluate: Evaluate, study_config: StudyConfig, known: Iterable[Trial] = ()
) -> Iterator[Progress | Trial]:
    """Evaluate uniformly drawn configurations: the baseline at equal budget.

    It shares no draw with `search` under the same seed. See there for `known`.
    """
    variables = space(study_config)
    judge = Judge(evaluate, known)
    for k, x in enumerate(random_values(variables, study_config)):
        config = config_of(x, study_config.base, variables)
        rewards, n_masks = yield from judge(config)
        yield Trial(config, rewards, n_masks, k // study_config.population, "random")


def random_values(variables: dict[str, Setting], study_config: StudyConfig) -> Iterator[X]:
    """Yield values of the variables, drawn uniformly, one set for each trial."""
    problem = _problem(variables, 1)
    rng = np.random.default_rng([study_config.seed, 1])
    for _ in range(study_config.trials):
        yield _at(problem, rng.random(len(variables)))


def spread_values(variables: dict[str, Setting], n: int, seed: int | list[int]) -> list[X]:
    """Return n sets of values that spread evenly over the range of every single variable."""
    problem = _problem(variables, 1)
    rng = np.random.default_rng(seed)
    ranks = np.stack([rng.permutation(n) for _ in variables], axis=1)
    return [_at(problem, u) for u in (ranks + rng.random(ranks.shape)) / max(1, n)]


def values_of(config: AmgConfig, names: Iterable[str]) -> X:
    """Return the values of the variables `names` in a configuration."""
    return {name: _searchable(name, getattr(config, name)) for name in names}


def vanilla(base: AmgConfig, variables: dict[str, Setting]) -> AmgConfig:
    """Return `base` with SAM's default thresholds, as far as they may change."""
    names = (n for n, s in variables.items() if not s.choices)
    return base.replace(**{n: getattr(AmgConfig(), n) for n in names})


def first_configs(study_config: StudyConfig) -> list[AmgConfig]:
    """Return every configuration on the grid ladders of `study_config`, for a time estimate."""
    ladders = {n: s for n, s in space(study_config).items() if s.choices}
    configs = [study_config.base]
    for name, setting in ladders.items():
        configs = [
            c.replace(**{name: _plain(setting, v)}) for c in configs for v in setting.choices
        ]
    return configs


# --- pymoo's side -----------------------------------------------------------------------------


def _mating() -> MixedVariableMating:
    """Return operators for a budget of some ten generations.

    Parents win a tournament by rank and crowding; pymoo's mixed variables draw them at random.
    """
    number = {"eta": 10, "prob_var": 0.9}
    change = {"eta": 15, "prob_var": 0.25}
    whole = {"vtype": float, "repair": RoundingRepair()}
    return MixedVariableMating(
        selection=TournamentSelection(func_comp=binary_tournament),
        crossover={Real: SBX(**number), Integer: SBX(**number, **whole), Choice: UX()},
        mutation={
            Real: PM(**change),
            Integer: PM(**change, **whole),
            Choice: ChoiceRandomMutation(),
        },
        eliminate_duplicates=MixedVariableDuplicateElimination(),
    )


def _problem(variables: dict[str, Setting], n_objectives: int) -> Problem:
    return Problem(vars={n: _variable(n, s) for n, s in variables.items()}, n_obj=n_objectives)


def _variable(name: str, setting: Setting) -> Any:
    if setting.choices:
        return Choice(options=list(setting.choices))
    low, high = setting.search_low, setting.search_high
    assert low is not None
    assert high is not None
    if name == "stability_score_offset":
        return Integer(bounds=(round(low / OFFSET_STEP), round(high / OFFSET_STEP)))
    if setting.step == 1:
        return Integer(bounds=(int(low), int(high)))
    return Real(bounds=(low, high))


def _first_population(variables: dict[str, Setting], study_config: StudyConfig) -> list[X]:
    defaults = vanilla(study_config.base, variables)
    warm = [defaults.replace(**{n: v for n, v in start.items() if n in variables})
            for start in WARM_STARTS]  # fmt: skip
    starts = [values_of(c, variables) for c in (defaults, *warm, *study_config.starts)]
    rest = study_config.population - len(starts)
    return starts + spread_values(variables, rest, study_config.seed)


def _at(problem: Problem, u: NDArray[np.float64]) -> X:
    """Return the configuration at `u` in the unit cube, one coordinate per setting."""
    return {
        name: _along(variable, float(v))
        for (name, variable), v in zip(problem.vars.items(), u, strict=True)
    }


def _along(variable: Any, u: float) -> Any:
    if isinstance(variable, Choice):
        return variable.options[int(u * len(variable.options))]
    low, high = variable.bounds
    if isinstance(variable, Integer):
        return int(low + u * (high - low + 1))
    return low + u * (high - low)


def _searchable(name: str, value: Any) -> Any:
    return round(value / OFFSET_STEP) if name == "stability_score_offset" else value


def config_of(x: X, base: AmgConfig, variables: dict[str, Setting]) -> AmgConfig:
    """Return `base` with the values of the variables."""
    values = {}
    for name, value in x.items():
        if name == "stability_score_offset":
            value = round(int(value) * OFFSET_STEP, 10)
        values[name] = _plain(variables[name], value)
    return base.replace(**values)


def _plain(setting: Setting, value: Any) -> int | float | str:
    """Return a text or a Python number, rounded so that a recipe gives it back exactly."""
    if isinstance(value, str):
        return str(value)  # NumPy has a type of its own
    return int(value) if setting.step == 1 else round(float(value), 6)
