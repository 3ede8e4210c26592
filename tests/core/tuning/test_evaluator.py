from __future__ import annotations

import numpy as np
import pytest

from benchmarks.bank import discs
from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.select import select
from napari_samstar.core.errors import UserError
from napari_samstar.core.progress import Progress, run
from napari_samstar.core.rewards.expectations import Expectations
from napari_samstar.core.rewards.goal import Goal
from napari_samstar.core.rewards.marks import Marks
from napari_samstar.core.rewards.registry import REWARDS
from napari_samstar.core.rewards.view import FOREGROUND_FITS
from napari_samstar.core.tuning.config import WARM_STARTS, StudyConfig, Trial
from napari_samstar.core.tuning.cost import seconds_to_decode
from napari_samstar.core.tuning.evaluator import Evaluator, EvaluatorSet
from napari_samstar.core.tuning.front import front
from napari_samstar.core.tuning.nsga2 import search
from tests.core.tiny import tiny_model

BASE = AmgConfig(points_per_side=6)


@pytest.fixture(scope="module")
def evaluator():
    return Evaluator.of(ProposalBank(discs((96, 128)), tiny_model()))


def test_an_evaluation_is_the_rewards_of_the_selection(evaluator):
    config = BASE.replace(pred_iou_thresh=0.5, stability_score_thresh=0.6)
    *progress, (rewards, n_masks) = evaluator.evaluate(config)
    assert all(isinstance(p, Progress) for p in progress)
    chosen = select(evaluator.bank, config)
    assert n_masks == len(chosen) > 3
    assert rewards == evaluator.rewards(chosen)
    # Random weights do not find the foreground, so it is not believed.
    assert evaluator.attainable(config).coverage < FOREGROUND_FITS
    of_foreground = ("coverage", "large_objects", "no_merging")
    expected = [name for name in evaluator.applicable() if name not in of_foreground]
    assert list(rewards) == expected
    assert not [name for name in rewards if REWARDS[name].needs]
    assert rewards["likely_objects"] > 0


def test_reach_is_the_best_of_defaults_and_sound_starts_without_zoom(evaluator):
    run(evaluator.bank.prepare(BASE))
    tried = [BASE, *(BASE.replace(**start) for start in WARM_STARTS)]
    found = [evaluator._view(select(evaluator.bank, config)) for config in tried]
    strict = BASE.replace(pred_iou_thresh=0.98, crop_n_layers=1, min_mask_region_area=50)
    assert evaluator.attainable(strict).coverage == max(view.coverage for view in found) > 0
    assert evaluator.attainable(strict).objects == max(view.objects for view in found) > 0


def test_all_prompts_are_measured_by_what_the_base_finds():
    """Else prompts with which little is found would be measured by that little."""
    bank = ProposalBank(discs((96, 128)), tiny_model())
    of_base = Evaluator.of(bank, base=BASE.replace(pred_iou_thresh=0.99))
    sparse = BASE.replace(points_per_side=4, pred_iou_thresh=0.5, stability_score_thresh=0.6)
    *_, (rewards, _) = of_base.evaluate(sparse)
    *_, (alone, _) = Evaluator.of(bank).evaluate(sparse)
    levels = of_base.attainable(sparse)
    assert levels == of_base.attainable(BASE) == Evaluator.of(bank).attainable(BASE)
    assert levels.objects > Evaluator.of(bank).attainable(sparse).objects
    assert 0 < rewards["likely_objects"] < alone["likely_objects"]


def test_a_configuration_that_upstream_cannot_run_earns_nothing(evaluator):
    config = AmgConfig(points_per_side=4, crop_n_layers=2, crop_n_points_downscale_factor=4)
    ((rewards, n_masks),) = evaluator.evaluate(config)
    assert n_masks == 0
    assert set(rewards.values()) == {0.0}


def test_other_sizes_share_the_measurements(evaluator):
    config = BASE.replace(pred_iou_thresh=0.5, stability_score_thresh=0.6)
    run(evaluator.bank.prepare(config))
    one, other = (evaluator.with_inputs(Expectations(small=60, large=60, count=n)) for n in (2, 40))
    assert other.features is evaluator.features
    chosen = select(evaluator.bank, config)
    assert other.rewards(chosen)["count"] != one.rewards(chosen)["count"]
    assert other.rewards(chosen)["outlined"] == evaluator.rewards(chosen)["outlined"]


def test_a_goal_is_refused_where_a_reward_lacks_what_it_needs(evaluator):
    goal = Goal({"coverage": 1, "count": 1})
    with pytest.raises(UserError, match="'Expected number' has a weight but needs the number"):
        EvaluatorSet((evaluator,)).check(goal)
    EvaluatorSet((evaluator.with_inputs(Expectations(count=3)),)).check(goal)
    with pytest.raises(UserError, match="Nothing on this image can be judged"):
        EvaluatorSet((evaluator.with_inputs(Expectations(large=1e6)),)).check(
            Goal({"large_objects": 1})
        )


def test_sizes_in_nm_need_a_calibrated_image(evaluator):
    with pytest.raises(UserError, match="pixel size is not known"):
        evaluator.with_inputs(Expectations(small=5, unit="nm"))


def test_marks_must_fit_the_image(evaluator):
    with pytest.raises(UserError, match="drawn on this image"):
        evaluator.with_inputs(None, Marks(examples=np.ones((3, 3), dtype=np.int32)))
    with pytest.raises(UserError, match="mark at least one good object"):
        evaluator.with_inputs(None, Marks(examples=np.zeros((96, 128), dtype=np.int32)))


def test_searching_filters_decodes_once(evaluator):
    study_config = StudyConfig("filters", trials=48, population=8, base=BASE)
    run(evaluator.bank.prepare(BASE))
    parts = len(evaluator.bank._tables)
    steps = list(search(evaluator.evaluate, Goal(), study_config))
    assert not [s for s in steps if isinstance(s, Progress)]
    assert len(evaluator.bank._tables) == parts
    trials = [s for s in steps if isinstance(s, Trial)]
    tuned = front(trials, Goal())
    assert (tuned.points[tuned.members] >= tuned.points[tuned.defaults]).all(axis=1).any()
    again = [s for s in search(evaluator.evaluate, Goal(), study_config) if isinstance(s, Trial)]
    assert again == trials


def test_the_time_to_decode_skips_what_is_impossible():
    bank = ProposalBank(discs((48, 64)), tiny_model())
    study_config = StudyConfig("everything", base=BASE)
    assert seconds_to_decode(bank, study_config) is None
    run(bank.prepare(AmgConfig(points_per_side=4)))
    seconds = [
        seconds_to_decode(bank, StudyConfig(s, base=BASE)) for s in ("filters", "everything")
    ]
    assert np.isfinite(seconds).all()
    assert 0 < seconds[0] < seconds[1]
