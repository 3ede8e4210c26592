"""The wide search: planned by cost, the same each time, never worse than where it starts."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from benchmarks.bank import discs
from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.image.micrograph import Micrograph
from napari_samstar.core.progress import Progress, run
from napari_samstar.core.prompts.sources import prompt_sources
from napari_samstar.core.rewards.goal import Goal
from napari_samstar.core.tuning.arms import Ledger, arms_of, units
from napari_samstar.core.tuning.config import WARM_STARTS, StudyConfig, Trial, space
from napari_samstar.core.tuning.cost import seconds_to_decode
from napari_samstar.core.tuning.evaluator import Evaluator
from napari_samstar.core.tuning.factors import factors_for, planned, usual_factors
from napari_samstar.core.tuning.front import front
from napari_samstar.core.tuning.planned import random_search, search
from napari_samstar.core.tuning.study import StudyRun
from napari_samstar.core.tuning.surrogate import promise
from tests.core.tiny import tiny_model

GOAL = Goal({"coverage": 1, "boundary": 1})
IMAGE = discs((96, 128))
BASE = AmgConfig(points_per_side=5)
CONFIG = StudyConfig("wide", 120, 16, 3, BASE, cost=500.0)
"""The base costs 57 units, another version of the image too, a zoom level 228."""


@pytest.fixture
def bank():
    return ProposalBank(IMAGE, tiny_model())


class Judge:
    """Likes inverted images, zoom and low thresholds; notes what it is asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, config):
        self.asked.append(config)
        yield Progress(0, 1, "Asking SAM for candidates")
        arm = 0.3 * (config.shown == "inverted") + 0.2 * (config.crop_n_layers == 1)
        found = 0.4 + arm - abs(config.pred_iou_thresh - 0.6) / 4
        clean = 0.4 + arm - abs(config.stability_score_thresh - 0.7) / 4
        yield {"coverage": found, "boundary": clean}, int(100 * found)


def trials(study_config, banks, judge=None, known=(), work=search):
    judge, study_config = judge or Judge(), planned(study_config, banks)
    steps = (
        search(judge, GOAL, study_config, banks, known)
        if work is search
        else random_search(judge, study_config, banks, known)
    )
    return [step for step in steps if isinstance(step, Trial)]


def arm_of(config):
    return config.prompts, config.shown, config.crop_n_layers


def cost_of(found, bank):
    parts = {(0, part) for e in found for part in bank.parts(e.config)}
    return units(parts, set())


# --- the space ----------------------------------------------------------------------------------


def test_the_space_holds_thresholds_prompts_versions_and_zoom(bank):
    config = planned(CONFIG, [bank])
    found, filters = space(config), space(StudyConfig("filters"))
    assert set(found) == {*filters, "crop_nms_thresh", "prompts", "shown", "crop_n_layers"}
    factors = dict(config.factors)
    assert factors["shown"] == ("original", "inverted", "smoothed", "local_contrast")
    assert factors["crop_n_layers"] == (0, 1)
    # All sources of the registry but boxes, and centres where the model sees them.
    assert set(factors["prompts"]) == set(prompt_sources()) - {"boxes", "centres"}
    assert "centres" in dict(usual_factors(BASE, sees_centres=True, colour=False))["prompts"]


def test_a_colour_image_has_a_main_colour(bank):
    rgb = IMAGE.pixels.copy()
    rgb[..., 2] //= 2
    colour = ProposalBank(Micrograph(rgb), tiny_model())
    assert "main_colour" in dict(factors_for(BASE, [colour]))["shown"]
    assert "main_colour" not in dict(factors_for(BASE, [colour, bank]))["shown"]


def test_prompts_of_the_users_own_are_kept():
    points = AmgConfig(points_per_side=None, point_grids=(((0.5, 0.5),),))
    boxes = AmgConfig(prompts="boxes", boxes=((1, 1, 9, 9),))
    for base in (points, boxes):
        factors = dict(usual_factors(base, sees_centres=True, colour=True))
        assert factors["prompts"] == (base.prompts,)


def test_tiles_are_searched_by_scale():
    base = BASE.replace(tile_scale=0.8)
    factors = dict(usual_factors(base, sees_centres=False, colour=False))
    assert factors["tile_scale"] == (0.8, 0.4, 0.568, 1.128, 1.6)
    assert "crop_n_layers" not in factors


def test_strings_come_back_from_text(bank):
    config = planned(CONFIG, [bank])
    assert StudyConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    for e in trials(config, [bank])[:60]:
        assert Trial.from_dict(json.loads(json.dumps(e.to_dict()))) == e
        assert type(e.config.shown) is type(e.config.prompts) is str


# --- cost ---------------------------------------------------------------------------------------


def test_arms_share_what_they_have_in_common(bank):
    arms = {arm.values: arm for arm in arms_of(planned(CONFIG, [bank]), [bank])}
    ledger = Ledger(1000)
    base, zoomed = arms["grid", "original", 0], arms["grid", "original", 1]
    assert (ledger.cost(base), ledger.cost(zoomed)) == (57, 5 * 57)
    ledger.open(base)
    assert (ledger.cost(base), ledger.cost(zoomed)) == (0, 4 * 57)
    assert ledger.cost(arms["grid", "inverted", 0]) == 57
    two = arms_of(planned(CONFIG, [bank, bank]), [bank, bank])
    assert Ledger(0).cost(two[0]) == 2 * 57


@pytest.mark.parametrize("work", [search, random_search])
@pytest.mark.parametrize("cost", [1.0, 57.0, 300.0, 500.0, 3000.0])
def test_the_budget_of_cost_is_kept(bank, work, cost):
    found = trials(dataclasses.replace(CONFIG, cost=cost), [bank], work=work)
    assert len(found) == CONFIG.trials
    assert cost_of(found, bank) <= max(cost, 57), "the base is opened in any case"
    if cost > 57:
        assert len({arm_of(e.config) for e in found}) > 1


def test_seconds_become_units_once(bank):
    unknown = planned(dataclasses.replace(CONFIG, cost=0.0, seconds=10.0), [bank])
    assert unknown.cost == 500.0, "SECONDS_PER_UNIT, as nothing is decoded yet"
    run(bank.prepare(BASE))
    known = planned(dataclasses.replace(CONFIG, cost=0.0, seconds=10.0), [bank])
    assert 0 < known.cost != 500.0
    assert planned(known, [bank]) == known
    estimate = seconds_to_decode(bank, dataclasses.replace(CONFIG, seconds=1e-3))
    assert estimate == 1e-3
    assert 0 < seconds_to_decode(bank, dataclasses.replace(CONFIG, seconds=1e6)) < 1e6


# --- the plan -----------------------------------------------------------------------------------


def test_the_promising_arm_is_opened_first_and_the_cheaper_one_of_two():
    opened = [("grid", "original", 0), ("grid", "inverted", 0), ("centres", "original", 0)]
    others = [("centres", "inverted", 0), ("centres", "original", 1), ("grid", "smoothed", 0)]
    gains = promise(opened, [0.4, 0.6, 0.5], others)
    assert gains.argmax() == 0, "both of its values were good elsewhere"
    assert (gains > 0).all()
    np.testing.assert_array_equal(gains, promise(opened, [0.4, 0.6, 0.5], others))
    worse = promise(opened, [0.4, 0.2, 0.3], others)
    assert worse.argmin() == 0


def test_defaults_and_warm_starts_come_first(bank):
    found = trials(CONFIG, [bank])
    origins = [e.origin for e in found[: 1 + len(WARM_STARTS)]]
    assert origins == ["defaults"] + ["start"] * len(WARM_STARTS)
    assert found[0].config == BASE
    for start, e in zip(WARM_STARTS, found[1:], strict=False):
        assert e.config == BASE.replace(**start)
    tuned = front(found, GOAL)
    best = tuned.points[tuned.members]
    assert tuned.defaults == 0
    for k in range(1 + len(WARM_STARTS)):
        assert (best >= tuned.points[k]).all(axis=1).any()


def test_the_best_arms_get_most_trials_and_the_search_beats_chance(bank):
    found = trials(CONFIG, [bank])
    assert len({e.config for e in found}) > 0.9 * len(found)
    late = [arm_of(e.config)[1] for e in found[-60:]]
    assert late.count("inverted") > 30
    generations = [e.generation for e in found]
    assert generations == sorted(generations)
    drawn = trials(CONFIG, [bank], work=random_search)
    totals = [max(GOAL.total(e.rewards) for e in some) for some in (found, drawn)]
    assert totals[0] >= totals[1]


def test_equal_pairs_of_arms_are_open_in_random_search_too(bank):
    drawn = trials(dataclasses.replace(CONFIG, cost=3000.0), [bank], work=random_search)
    assert {e.origin for e in drawn} == {"random"}
    assert len({arm_of(e.config) for e in drawn}) > 4


# --- the same each time -------------------------------------------------------------------------


@pytest.mark.parametrize("work", [search, random_search])
def test_the_same_seed_gives_the_same_search(bank, work):
    first = trials(CONFIG, [bank], work=work)
    run(bank.prepare(BASE.replace(shown="inverted")))  # what is decoded already changes no plan
    assert trials(CONFIG, [bank], work=work) == first
    assert trials(dataclasses.replace(CONFIG, seed=4), [bank], work=work) != first


def test_more_trials_go_on_where_fewer_ended(bank):
    few = trials(dataclasses.replace(CONFIG, trials=90), [bank])
    assert trials(CONFIG, [bank])[:90] == few


@pytest.mark.parametrize("work", [search, random_search])
@pytest.mark.parametrize("killed_after", [20, 90])
def test_a_killed_search_goes_on_as_if_never_stopped(bank, work, killed_after):
    whole = trials(CONFIG, [bank], work=work)
    before, judge = whole[:killed_after], Judge()
    assert trials(CONFIG, [bank], judge, before, work=work) == whole
    assert not {e.config for e in before} & set(judge.asked)
    assert set(judge.asked) == {e.config for e in whole} - {e.config for e in before}


def test_starts_of_an_earlier_run_are_tried_in_their_arms(bank):
    start = BASE.replace(shown="smoothed", pred_iou_thresh=0.61)
    found = trials(dataclasses.replace(CONFIG, starts=(start,)), [bank])
    (there,) = [e for e in found if e.config == start]
    assert there.origin == "start"
    assert cost_of(found, bank) <= CONFIG.cost


def test_with_the_real_rewards_nothing_that_is_not_planned_is_decoded(bank):
    evaluator = Evaluator.of(bank)
    study_config = planned(dataclasses.replace(CONFIG, trials=60, cost=200.0), [bank])
    steps = StudyRun(Goal(), study_config).search(evaluator, banks=[bank])
    found = [e for step in steps if isinstance(step, tuple) for e in step]
    assert len(found) == 60
    assert len({arm_of(e.config) for e in found}) == 3
    assert bank.n_prompts == 75
    assert cost_of(found, bank) == 3 * 57
