"""NSGA-II over SAM's settings, as a generator. The only file that imports pymoo."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pymoo.algorithms.moo.nsga2 import NSGA2, binary_tournament
from pymoo.core.evaluator import Evaluator as PymooEvaluator
from pymoo.core.mixed import MixedVariableDuplicateElimination, MixedVariableMating
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.variable import Choice, Integer, Real
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.crossover.ux import UX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.mutation.rm import ChoiceRandomMutation
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.selection.tournament import TournamentSelection
from pymoo.problems.static import StaticProblem
from pymoo.termination.max_eval import MaximumFunctionCallTermination

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
    problem = _problem(variables, len(goal.used))
    memory = _remembered(known)
    algorithm = NSGA2(
        pop_size=study_config.population,
        sampling=_first_population(problem, variables, study_config),
        mating=_mating(),
        eliminate_duplicates=MixedVariableDuplicateElimination(),
    )
    termination = MaximumFunctionCallTermination(study_config.trials)
    algorithm.setup(problem, termination=termination, seed=study_config.seed)
    done, generation = 0, 0
    while algorithm.has_next():
        offspring = algorithm.ask()
        if offspring is None or len(offspring) == 0:
            return
        costs = []
        for k, individual in enumerate(offspring[: study_config.trials - done]):
            config = _config(individual.X, study_config.base, variables)
            origin = _origin(study_config, generation, k)
            result = yield from _evaluated(evaluate, config, memory)
            yield Trial(config, result[0], result[1], generation, origin)
            costs.append(-goal.values(result[0]))
        done += len(costs)
        if len(costs) < len(offspring):
            return
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
    problem = _problem(variables, 1)
    rng = np.random.default_rng([study_config.seed, 1])
    memory = _remembered(known)
    for k in range(study_config.trials):
        x = _at(problem, rng.random(len(variables)))
        config = _config(x, study_config.base, variables)
        rewards, n_masks = yield from _evaluated(evaluate, config, memory)
        yield Trial(config, rewards, n_masks, k // study_config.population, "random")


def first_configs(study_config: StudyConfig) -> list[AmgConfig]:
    """Return every configuration on the grid ladders of `study_config`, for a time estimate."""
    ladders = {n: s for n, s in space(study_config).items() if s.choices}
    configs = [study_config.base]
    for name, setting in ladders.items():
        configs = [
            c.replace(**{name: _plain(setting, v)}) for c in configs for v in setting.choices
        ]
    return configs


def _remembered(known: Iterable[Trial]) -> dict[AmgConfig, EvaluationResult]:
    return {e.config: (e.rewards, e.n_masks) for e in known}


def _evaluated(
    evaluate: Evaluate, config: AmgConfig, memory: dict[AmgConfig, EvaluationResult]
) -> Any:
    if config not in memory:
        for step in evaluate(config):
            if isinstance(step, Progress):
                yield step
            else:
                memory[config] = step
    return memory[config]


def _origin(study_config: StudyConfig, generation: int, position: int) -> str:
    if generation == 0 and position <= len(WARM_STARTS) + len(study_config.starts):
        return "start" if position else "defaults"
    return "search"


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


def _first_population(
    problem: Problem, variables: dict[str, Setting], study_config: StudyConfig
) -> Population:
    defaults = {name: getattr(study_config.base, name) for name in variables}
    vanilla = defaults | {n: getattr(AmgConfig(), n) for n, s in variables.items() if not s.choices}
    starts = [vanilla, *(vanilla | start for start in WARM_STARTS)]
    starts += [{n: getattr(config, n) for n in variables} for config in study_config.starts]
    values = [{n: _searchable(n, v) for n, v in start.items()} for start in starts]
    values += _latin_hypercube(problem, study_config.population - len(starts), study_config.seed)
    return Population.new(X=np.array(values, dtype=object))


def _latin_hypercube(problem: Problem, n: int, seed: int) -> list[dict[str, Any]]:
    """Return n configurations that spread evenly over the range of every single setting."""
    rng = np.random.default_rng(seed)
    ranks = np.stack([rng.permutation(n) for _ in problem.vars], axis=1)
    return [_at(problem, u) for u in (ranks + rng.random(ranks.shape)) / max(1, n)]


def _at(problem: Problem, u: NDArray[np.float64]) -> dict[str, Any]:
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


def _config(x: dict[str, Any], base: AmgConfig, variables: dict[str, Setting]) -> AmgConfig:
    values = {}
    for name, value in x.items():
        if name == "stability_score_offset":
            value = round(int(value) * OFFSET_STEP, 10)
        values[name] = _plain(variables[name], value)
    return base.replace(**values)


def _plain(setting: Setting, value: Any) -> int | float:
    """Return a Python number, rounded so that a recipe's text gives it back exactly."""
    return int(value) if setting.step == 1 else round(float(value), 6)
