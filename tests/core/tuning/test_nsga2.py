from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from napari_samstar.core.amg.config import SETTINGS, AmgConfig
from napari_samstar.core.errors import UserError
from napari_samstar.core.progress import Progress
from napari_samstar.core.rewards.goal import Goal
from napari_samstar.core.tuning.config import WARM_STARTS, StudyConfig, Trial, space
from napari_samstar.core.tuning.front import front
from napari_samstar.core.tuning.nsga2 import first_configs, random_search, search

GOAL = Goal({"coverage": 1, "boundary": 1})


def evaluator(config):
    """Trade finding for cleanliness: the best compromise is far from the defaults."""
    found = 1 - abs(config.pred_iou_thresh - 0.55)
    clean = 1 - abs(config.stability_score_thresh - 0.6) - 0.3 * config.box_nms_thresh
    clash = max(0.0, found + clean - 1.4)
    yield Progress(0, 1, "Asking SAM for candidates")
    yield {"coverage": found - clash, "boundary": clean}, int(100 * found)


def trials(study_config, goal=GOAL, work=search):
    steps = work(evaluator, goal, study_config) if work is search else work(evaluator, study_config)
    return [e for e in steps if isinstance(e, Trial)]


@pytest.mark.parametrize("scope", ["filters", "grids", "everything"])
def test_the_same_seed_gives_the_same_search(scope):
    study_config = StudyConfig(scope=scope, trials=40, population=8, seed=3)
    np.random.seed(1)  # noqa: NPY002
    first = trials(study_config)
    np.random.seed(2)  # noqa: NPY002
    np.random.random(17)  # noqa: NPY002
    assert trials(study_config) == first
    assert trials(StudyConfig(scope, 40, 8, seed=4)) != first


@pytest.mark.parametrize(("budget", "population"), [(8, 8), (41, 8), (100, 32)])
def test_the_budget_is_spent_exactly(budget, population):
    found = trials(StudyConfig(trials=budget, population=population))
    assert len(found) == budget
    sizes = Counter(e.generation for e in found)
    assert sizes[0] == population
    assert all(sizes[g] == population for g in range(max(sizes)))


def test_defaults_and_sound_starts_come_first():
    found = trials(StudyConfig(trials=16, population=8))
    assert found[0].config == AmgConfig()
    origins = [e.origin for e in found]
    assert origins[: 1 + len(WARM_STARTS)] == ["defaults"] + ["start"] * len(WARM_STARTS)
    assert set(origins[1 + len(WARM_STARTS) :]) == {"search"}
    for start, trial in zip(WARM_STARTS, found[1:], strict=False):
        assert trial.config == AmgConfig(**start)


def test_the_front_never_lies_below_the_defaults_and_beats_chance():
    ahead = []
    for seed in range(3):  # twice the usual budget; at half of it, random search is as good here
        study_config = StudyConfig(trials=800, seed=seed)
        tuned = front(trials(study_config), GOAL)
        best = tuned.points[tuned.members]
        assert (best >= tuned.points[tuned.defaults]).all(axis=1).any()
        drawn = front(trials(study_config, work=random_search), GOAL)
        ahead.append(tuned.hypervolume - drawn.hypervolume)
    assert np.mean(ahead) > 0


@pytest.mark.parametrize("scope", ["filters", "grids", "everything"])
def test_only_the_scope_changes_and_within_its_bounds(scope):
    base = AmgConfig(points_per_side=16, crop_n_points_downscale_factor=2)
    free = space(StudyConfig(scope, base=base))
    for work in (search, random_search):
        for e in trials(StudyConfig(scope, 48, 16, base=base), work=work):
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
    assert not crops & set(space(StudyConfig("grids")))
    assert "crop_nms_thresh" in space(StudyConfig("filters", base=AmgConfig(crop_n_layers=1)))
    assert crops < set(space(StudyConfig("everything")))
    zoom = space(StudyConfig("zoom"))
    assert zoom["crop_n_layers"].choices == (0, 1)
    assert set(zoom) == {*space(StudyConfig("filters")), "crop_n_layers", "crop_nms_thresh"}
    grids = {"points_per_side", "crop_n_points_downscale_factor"}
    assert grids < set(space(StudyConfig("everything")))
    assert not grids & set(space(StudyConfig("everything", base=AmgConfig(prompts="centres"))))
    assert "min_likeness" not in space(StudyConfig("everything"))
    assert set(space(StudyConfig().like(((3.7, 1.5, 0.5, 0.97),)))) - set(space(StudyConfig())) == {
        "min_likeness"
    }


def test_plans_and_evaluations_come_back_from_text():
    study_config = StudyConfig(
        "grids", 50, 8, 3, AmgConfig(points_per_side=8), (AmgConfig(box_nms_thresh=0.3),)
    )
    assert StudyConfig.from_dict(json.loads(json.dumps(study_config.to_dict()))) == study_config
    for e in trials(study_config)[:10]:
        assert Trial.from_dict(json.loads(json.dumps(e.to_dict()))) == e


# --- continuing ----------------------------------------------------------------------------------


class Counting:
    """The judge above; notes what it is asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, config):
        self.asked.append(config)
        yield from evaluator(config)


def begin(work, study_config, counting, known=()):
    return (
        work(counting, GOAL, study_config, known)
        if work is search
        else work(counting, study_config, known)
    )


@pytest.mark.parametrize("work", [search, random_search])
@pytest.mark.parametrize("killed_after", [1, 8, 21, 40])
@pytest.mark.parametrize("scope", ["filters", "everything"])
def test_a_killed_search_goes_on_as_if_never_stopped(work, killed_after, scope):
    study_config = StudyConfig(scope, trials=48, population=8, seed=2)
    whole = trials(study_config, work=work)
    counting = Counting()
    steps = begin(work, study_config, counting)
    before = [e for e in steps if isinstance(e, Trial)][:killed_after]
    counting.asked.clear()
    again = [e for e in begin(work, study_config, counting, before) if isinstance(e, Trial)]
    assert again == whole
    assert not {e.config for e in before} & set(counting.asked)
    assert set(counting.asked) == {e.config for e in whole} - {e.config for e in before}


@pytest.mark.parametrize("work", [search, random_search])
def test_a_larger_budget_goes_on(work):
    small = trials(StudyConfig(trials=21, population=8), work=work)
    counting = Counting()
    steps = begin(work, StudyConfig(trials=50, population=8), counting, small)
    large = [e for e in steps if isinstance(e, Trial)]
    assert large[:21] == small
    assert len(counting.asked) == 29


def test_another_goal_starts_from_given_configurations():
    starts = (AmgConfig(pred_iou_thresh=0.55, stability_score_thresh=0.6, box_nms_thresh=0.1),)
    study_config = StudyConfig(trials=16, population=8, starts=starts)
    found = trials(study_config, Goal({"coverage": 2, "boundary": 1}))
    place = 1 + len(WARM_STARTS)
    assert found[place].config == starts[0]
    assert found[place].origin == "start"
    assert found[place + 1].origin == "search"


def test_random_search_draws_nothing_that_the_search_draws():
    study_config = StudyConfig(trials=32, population=32, seed=7)
    own = {e.config for e in trials(study_config)}
    assert not own & {e.config for e in trials(study_config, work=random_search)}


@pytest.mark.parametrize("scope", ["filters", "everything"])
def test_the_first_population_spreads_over_every_setting(scope):
    study_config = StudyConfig(scope, trials=37, population=37)
    drawn = trials(study_config)[1 + len(WARM_STARTS) :]
    for name, setting in space(study_config).items():
        values = [getattr(e.config, name) for e in drawn]
        if setting.choices:
            counts = Counter(values)
            assert len(counts) == len(setting.choices)
            # Two of 32 equal parts lie across the limits of three choices.
            assert max(counts.values()) - min(counts.values()) <= 2
        else:
            edges = np.linspace(setting.search_low, setting.search_high, 5)
            assert np.histogram(values, edges)[0].min() >= 5


def test_a_configuration_is_judged_once():
    asked = Counter()

    def counting(config):
        asked[config] += 1
        yield from evaluator(config)

    list(search(counting, GOAL, StudyConfig("everything", 80, 8)))
    assert max(asked.values()) == 1


def test_progress_of_decoding_comes_through():
    steps = list(search(evaluator, GOAL, StudyConfig(trials=8, population=8)))
    assert sum(isinstance(s, Progress) for s in steps) == 8


def test_it_can_be_stopped_anywhere():
    work = search(evaluator, GOAL, StudyConfig(trials=64, population=8))
    assert isinstance(next(work), Progress)
    assert isinstance(next(work), Trial)
    work.close()


@pytest.mark.parametrize("n_objectives", [1, 3])
def test_one_or_three_objectives(n_objectives):
    goal = Goal(
        {"coverage": 1, "boundary": 1, "confidence": 1},
        {n: k % n_objectives for k, n in enumerate(("coverage", "boundary", "confidence"))},
    )
    assert len(trials(StudyConfig(trials=24, population=8), goal)) == 24


def test_random_search_spends_the_same_budget():
    study_config = StudyConfig(trials=30, population=8, seed=5)
    drawn = trials(study_config, work=random_search)
    assert len(drawn) == 30
    assert drawn == trials(study_config, work=random_search)
    assert {e.origin for e in drawn} == {"random"}
    assert [e.generation for e in drawn] == [k // 8 for k in range(30)]


def test_evaluations_are_json_ready():
    (e, *_) = trials(StudyConfig(trials=8, population=8))
    values = json.loads(json.dumps(e.to_dict()))
    assert AmgConfig.from_dict(values["config"]) == e.config
    assert values["rewards"] == e.rewards


def test_first_configs_are_the_grids_of_the_scope():
    assert first_configs(StudyConfig("filters")) == [AmgConfig()]
    study_config = StudyConfig("grids", base=AmgConfig(crop_n_layers=1))
    grids = first_configs(study_config)
    ladders = [s.choices for s in space(study_config).values() if s.choices]
    assert len(set(grids)) == len(grids) == np.prod([len(c) for c in ladders])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [({"population": 2}, "population must be at least"), ({"trials": 9}, "one population")],
)
def test_impossible_plans_get_one_sentence(change, sentence):
    with pytest.raises(UserError, match=sentence):
        StudyConfig(**change)
