"""NSGA-II over SAM's settings, as a generator. The only file that imports pymoo."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.evaluator import Evaluator as PymooEvaluator
from pymoo.core.mixed import (
    MixedVariableDuplicateElimination,
    MixedVariableMating,
    MixedVariableSampling,
)
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.variable import Choice, Integer, Real
from pymoo.problems.static import StaticProblem
from pymoo.termination.max_eval import MaximumFunctionCallTermination

from napari_samstar.core.config import OFFSET_STEP, AmgConfig, Scope, Setting, searched
from napari_samstar.core.errors import UserError
from napari_samstar.core.progress import Progress

if TYPE_CHECKING:
    from napari_samstar.core.goal import Goal


@dataclass(frozen=True)
class Evaluation:
    """One evaluated configuration.

    Attributes
    ----------
    config : AmgConfig
    rewards : dict of str to float
        Every raw reward, weighted or not, so that weights can be moved afterwards.
    n_masks : int
    generation : int
        0 is the first population.
    origin : {"defaults", "start", "search", "random"}
    """

    config: AmgConfig
    rewards: dict[str, float]
    n_masks: int
    generation: int
    origin: str

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return asdict(self) | {"config": self.config.to_dict()}


@dataclass(frozen=True)
class Plan:
    """How a search is run.

    Attributes
    ----------
    scope : {"filters", "grids", "everything"}
        Which settings may change; see `config.searched`.
    evaluations : int
        Budget, the first population included.
    population : int
    seed : int
        Same seed, same result.
    base : AmgConfig
        Gives the settings that the scope leaves alone.
    """

    scope: Scope = "filters"
    evaluations: int = 400
    population: int = 32
    seed: int = 0
    base: AmgConfig = field(default_factory=AmgConfig)

    def __post_init__(self) -> None:
        least = 1 + len(SOUND_STARTS)
        if self.population < least:
            raise UserError(f"The population must be at least {least}: the starts are in it.")
        if self.evaluations < self.population:
            raise UserError(
                f"The budget must be at least one population: {self.population} evaluations."
            )


Evaluate = Callable[[AmgConfig], Iterator[Progress | tuple[dict[str, float], int]]]
"""Yields `Progress` while candidates are decoded, and at last the rewards and number of masks."""

Starts = Sequence[dict[str, Any]]

SOUND_STARTS: Starts = (
    {"pred_iou_thresh": 0.7, "stability_score_thresh": 0.85},
    {"pred_iou_thresh": 0.8, "stability_score_thresh": 0.9, "box_nms_thresh": 0.5},
    {"pred_iou_thresh": 0.6, "stability_score_thresh": 0.7, "box_nms_thresh": 0.4},
    {"pred_iou_thresh": 0.7, "stability_score_thresh": 0.85, "box_nms_thresh": 0.85},
)
"""Tried first, after the defaults: permissive, tidy, very permissive, and for overlaps."""


def search(evaluate: Evaluate, goal: Goal, plan: Plan) -> Iterator[Progress | Evaluation]:
    """Run NSGA-II; yields every `Evaluation` as it is made, and `Progress` in between.

    The defaults and a few sound starts are in the first population, so that the front never
    lies below them.
    """
    space = searched(plan.scope)
    problem = _problem(space, len(goal.used))
    known: dict[AmgConfig, tuple[dict[str, float], int]] = {}
    algorithm = NSGA2(
        pop_size=plan.population,
        sampling=_first_population(problem, space, plan),
        mating=MixedVariableMating(eliminate_duplicates=MixedVariableDuplicateElimination()),
        eliminate_duplicates=MixedVariableDuplicateElimination(),
    )
    termination = MaximumFunctionCallTermination(plan.evaluations)
    algorithm.setup(problem, termination=termination, seed=plan.seed)
    done, generation = 0, 0
    while algorithm.has_next():
        asked = algorithm.ask()
        if asked is None or len(asked) == 0:
            return
        costs = []
        for k, individual in enumerate(asked[: plan.evaluations - done]):
            config = _config(individual.X, plan.base, space)
            origin = _origin(generation, k)
            result = yield from _evaluated(evaluate, config, known)
            yield Evaluation(config, result[0], result[1], generation, origin)
            costs.append(-goal.values(result[0]))
        done += len(costs)
        if len(costs) < len(asked):
            return
        # pymoo minimises; the sign flips here and nowhere else
        PymooEvaluator().eval(StaticProblem(problem, F=np.array(costs)), asked)
        algorithm.tell(infills=asked)
        generation += 1


def random_search(evaluate: Evaluate, plan: Plan) -> Iterator[Progress | Evaluation]:
    """Evaluate uniformly drawn configurations: the yardstick at equal budget."""
    space = searched(plan.scope)
    problem = _problem(space, 1)
    rng = np.random.default_rng(plan.seed)
    drawn = MixedVariableSampling()(problem, plan.evaluations, random_state=rng)
    known: dict[AmgConfig, tuple[dict[str, float], int]] = {}
    for k, individual in enumerate(drawn):
        config = _config(individual.X, plan.base, space)
        rewards, n_masks = yield from _evaluated(evaluate, config, known)
        yield Evaluation(config, rewards, n_masks, k // plan.population, "random")


def first_configs(plan: Plan) -> list[AmgConfig]:
    """Return every configuration on the grid ladders of `plan`, for a time estimate."""
    space = searched(plan.scope)
    ladders = {n: s.choices for n, s in space.items() if s.choices}
    configs = [plan.base]
    for name, values in ladders.items():
        configs = [c.replace(**{name: _plain(space[name], v)}) for c in configs for v in values]
    return configs


def _evaluated(
    evaluate: Evaluate,
    config: AmgConfig,
    known: dict[AmgConfig, tuple[dict[str, float], int]],
) -> Any:
    if config not in known:
        for step in evaluate(config):
            if isinstance(step, Progress):
                yield step
            else:
                known[config] = step
    return known[config]


def _origin(generation: int, position: int) -> str:
    if generation == 0 and position <= len(SOUND_STARTS):
        return "start" if position else "defaults"
    return "search"


def _problem(space: dict[str, Setting], n_objectives: int) -> Problem:
    variables = {name: _variable(name, setting) for name, setting in space.items()}
    return Problem(vars=variables, n_obj=n_objectives)


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


def _first_population(problem: Problem, space: dict[str, Setting], plan: Plan) -> Population:
    defaults = {name: getattr(plan.base, name) for name in space}
    vanilla = defaults | {n: getattr(AmgConfig(), n) for n in space if not space[n].choices}
    starts = [vanilla, *(vanilla | start for start in SOUND_STARTS)]
    rng = np.random.default_rng(plan.seed)
    rest = MixedVariableSampling()(problem, plan.population - len(starts), random_state=rng)
    values = [{n: _searchable(n, v) for n, v in start.items()} for start in starts]
    return Population.new(X=np.array(values + [i.X for i in rest], dtype=object))


def _searchable(name: str, value: Any) -> Any:
    return round(value / OFFSET_STEP) if name == "stability_score_offset" else value


def _config(x: dict[str, Any], base: AmgConfig, space: dict[str, Setting]) -> AmgConfig:
    values = {}
    for name, value in x.items():
        if name == "stability_score_offset":
            value = round(int(value) * OFFSET_STEP, 10)
        values[name] = _plain(space[name], value)
    return base.replace(**values)


def _plain(setting: Setting, value: Any) -> int | float:
    """Return a Python number, rounded so that a recipe's text gives it back exactly."""
    return int(value) if setting.step == 1 else round(float(value), 6)
