from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from napari_samstar.core.config import SETTINGS, AmgConfig
from napari_samstar.core.errors import UserError
from napari_samstar.core.goal import Goal
from napari_samstar.core.pareto import front
from napari_samstar.core.progress import Progress
from napari_samstar.core.search import (
    SOUND_STARTS,
    Evaluation,
    Plan,
    first_configs,
    random_search,
    search,
    space,
)

GOAL = Goal({"coverage": 1, "boundary": 1})


def judge(config):
    """Trade finding for cleanliness: the best compromise is far from the defaults."""
    found = 1 - abs(config.pred_iou_thresh - 0.55)
    clean = 1 - abs(config.stability_score_thresh - 0.6) - 0.3 * config.box_nms_thresh
    clash = max(0.0, found + clean - 1.4)
    yield Progress(0, 1, "Asking SAM for candidates")
    yield {"coverage": found - clash, "boundary": clean}, int(100 * found)


def evaluations(plan, goal=GOAL, work=search):
    steps = work(judge, goal, plan) if work is search else work(judge, plan)
    return [e for e in steps if isinstance(e, Evaluation)]


@pytest.mark.parametrize("scope", ["filters", "grids", "everything"])
def test_the_same_seed_gives_the_same_search(scope):
    plan = Plan(scope=scope, evaluations=40, population=8, seed=3)
    np.random.seed(1)  # noqa: NPY002
    first = evaluations(plan)
    np.random.seed(2)  # noqa: NPY002
    np.random.random(17)  # noqa: NPY002
    assert evaluations(plan) == first
    assert evaluations(Plan(scope, 40, 8, seed=4)) != first


@pytest.mark.parametrize(("budget", "population"), [(8, 8), (41, 8), (100, 32)])
def test_the_budget_is_spent_exactly(budget, population):
    found = evaluations(Plan(evaluations=budget, population=population))
    assert len(found) == budget
    sizes = Counter(e.generation for e in found)
    assert sizes[0] == population
    assert all(sizes[g] == population for g in range(max(sizes)))


def test_defaults_and_sound_starts_come_first():
    found = evaluations(Plan(evaluations=16, population=8))
    assert found[0].config == AmgConfig()
    origins = [e.origin for e in found]
    assert origins[: 1 + len(SOUND_STARTS)] == ["defaults"] + ["start"] * len(SOUND_STARTS)
    assert set(origins[1 + len(SOUND_STARTS) :]) == {"search"}
    for start, evaluation in zip(SOUND_STARTS, found[1:], strict=False):
        assert evaluation.config == AmgConfig(**start)


def test_the_front_never_lies_below_the_defaults_and_beats_chance():
    plan = Plan(evaluations=160, population=16, seed=0)
    tuned = front(evaluations(plan), GOAL)
    best = tuned.points[tuned.members]
    assert (best >= tuned.points[tuned.defaults]).all(axis=1).any()
    drawn = front(evaluations(plan, work=random_search), GOAL)
    assert tuned.hypervolume > drawn.hypervolume


@pytest.mark.parametrize("scope", ["filters", "grids", "everything"])
def test_only_the_scope_changes_and_within_its_bounds(scope):
    base = AmgConfig(points_per_side=16, crop_n_points_downscale_factor=2)
    free = space(Plan(scope, base=base))
    for work in (search, random_search):
        for e in evaluations(Plan(scope, 48, 16, base=base), work=work):
            for name, setting in SETTINGS.items():
                value = getattr(e.config, name)
                if name not in free:
                    assert value == getattr(base, name)
                elif setting.choices:
                    assert round(value, 5) in [round(c, 5) for c in setting.choices]
                else:
                    assert setting.search_low <= value <= setting.search_high


def test_settings_without_effect_are_left_alone():
    crops = {"crop_nms_thresh", "crop_overlap_ratio", "crop_n_points_downscale_factor"}
    assert not crops & set(space(Plan("grids")))
    assert "crop_nms_thresh" in space(Plan("filters", base=AmgConfig(crop_n_layers=1)))
    assert crops < set(space(Plan("everything")))
    zoom = space(Plan("zoom"))
    assert zoom["crop_n_layers"].choices == (0, 1)
    assert set(zoom) == {*space(Plan("filters")), "crop_n_layers", "crop_nms_thresh"}
    grids = {"points_per_side", "crop_n_points_downscale_factor"}
    assert grids < set(space(Plan("everything")))
    assert not grids & set(space(Plan("everything", base=AmgConfig(prompts="centres"))))
    assert "min_likeness" not in space(Plan("everything"))
    assert set(space(Plan().like(((3.7, 1.5, 0.5, 0.97),)))) - set(space(Plan())) == {
        "min_likeness"
    }


def test_plans_and_evaluations_come_back_from_text():
    plan = Plan("grids", 50, 8, 3, AmgConfig(points_per_side=8), (AmgConfig(box_nms_thresh=0.3),))
    assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan
    for e in evaluations(plan)[:10]:
        assert Evaluation.from_dict(json.loads(json.dumps(e.to_dict()))) == e


# --- continuing ----------------------------------------------------------------------------------


class Counting:
    """The judge above; notes what it is asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, config):
        self.asked.append(config)
        yield from judge(config)


def begin(work, plan, counting, known=()):
    return work(counting, GOAL, plan, known) if work is search else work(counting, plan, known)


@pytest.mark.parametrize("work", [search, random_search])
@pytest.mark.parametrize("killed_after", [1, 8, 21, 40])
@pytest.mark.parametrize("scope", ["filters", "everything"])
def test_a_killed_search_goes_on_as_if_never_stopped(work, killed_after, scope):
    plan = Plan(scope, evaluations=48, population=8, seed=2)
    whole = evaluations(plan, work=work)
    counting = Counting()
    steps = begin(work, plan, counting)
    before = [e for e in steps if isinstance(e, Evaluation)][:killed_after]
    counting.asked.clear()
    again = [e for e in begin(work, plan, counting, before) if isinstance(e, Evaluation)]
    assert again == whole
    assert not {e.config for e in before} & set(counting.asked)
    assert set(counting.asked) == {e.config for e in whole} - {e.config for e in before}


@pytest.mark.parametrize("work", [search, random_search])
def test_a_larger_budget_goes_on(work):
    small = evaluations(Plan(evaluations=21, population=8), work=work)
    counting = Counting()
    steps = begin(work, Plan(evaluations=50, population=8), counting, small)
    large = [e for e in steps if isinstance(e, Evaluation)]
    assert large[:21] == small
    assert len(counting.asked) == 29


def test_another_goal_starts_from_given_configurations():
    starts = (AmgConfig(pred_iou_thresh=0.55, stability_score_thresh=0.6, box_nms_thresh=0.1),)
    plan = Plan(evaluations=16, population=8, starts=starts)
    found = evaluations(plan, Goal({"coverage": 2, "boundary": 1}))
    place = 1 + len(SOUND_STARTS)
    assert found[place].config == starts[0]
    assert found[place].origin == "start"
    assert found[place + 1].origin == "search"


def test_random_search_draws_nothing_that_the_search_draws():
    plan = Plan(evaluations=32, population=32, seed=7)
    own = {e.config for e in evaluations(plan)}
    assert not own & {e.config for e in evaluations(plan, work=random_search)}


@pytest.mark.parametrize("scope", ["filters", "everything"])
def test_the_first_population_spreads_over_every_setting(scope):
    plan = Plan(scope, evaluations=37, population=37)
    drawn = evaluations(plan)[1 + len(SOUND_STARTS) :]
    for name, setting in space(plan).items():
        values = [getattr(e.config, name) for e in drawn]
        if setting.choices:
            counts = Counter(values)
            assert len(counts) == len(setting.choices)
            assert max(counts.values()) - min(counts.values()) <= 1
        else:
            edges = np.linspace(setting.search_low, setting.search_high, 5)
            assert np.histogram(values, edges)[0].min() >= 5


def test_a_configuration_is_judged_once():
    asked = Counter()

    def counting(config):
        asked[config] += 1
        yield from judge(config)

    list(search(counting, GOAL, Plan("everything", 80, 8)))
    assert max(asked.values()) == 1


def test_progress_of_decoding_comes_through():
    steps = list(search(judge, GOAL, Plan(evaluations=8, population=8)))
    assert sum(isinstance(s, Progress) for s in steps) == 8


def test_it_can_be_stopped_anywhere():
    work = search(judge, GOAL, Plan(evaluations=64, population=8))
    assert isinstance(next(work), Progress)
    assert isinstance(next(work), Evaluation)
    work.close()


@pytest.mark.parametrize("n_objectives", [1, 3])
def test_one_or_three_objectives(n_objectives):
    goal = Goal(
        {"coverage": 1, "boundary": 1, "confidence": 1},
        {n: k % n_objectives for k, n in enumerate(("coverage", "boundary", "confidence"))},
    )
    assert len(evaluations(Plan(evaluations=24, population=8), goal)) == 24


def test_random_search_spends_the_same_budget():
    plan = Plan(evaluations=30, population=8, seed=5)
    drawn = evaluations(plan, work=random_search)
    assert len(drawn) == 30
    assert drawn == evaluations(plan, work=random_search)
    assert {e.origin for e in drawn} == {"random"}
    assert [e.generation for e in drawn] == [k // 8 for k in range(30)]


def test_evaluations_are_json_ready():
    (e, *_) = evaluations(Plan(evaluations=8, population=8))
    values = json.loads(json.dumps(e.to_dict()))
    assert AmgConfig.from_dict(values["config"]) == e.config
    assert values["rewards"] == e.rewards


def test_first_configs_are_the_grids_of_the_scope():
    assert first_configs(Plan("filters")) == [AmgConfig()]
    plan = Plan("grids", base=AmgConfig(crop_n_layers=1))
    grids = first_configs(plan)
    ladders = [s.choices for s in space(plan).values() if s.choices]
    assert len(set(grids)) == len(grids) == np.prod([len(c) for c in ladders])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [({"population": 2}, "population must be at least"), ({"evaluations": 9}, "one population")],
)
def test_impossible_plans_get_one_sentence(change, sentence):
    with pytest.raises(UserError, match=sentence):
        Plan(**change)
