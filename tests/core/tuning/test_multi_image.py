from __future__ import annotations

import json

import pytest

from benchmarks.bank import discs
from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.progress import Progress, run
from napari_samstar.core.rewards.goal import Goal
from napari_samstar.core.tuning.config import StudyConfig, Trial
from napari_samstar.core.tuning.evaluator import (
    Evaluator,
    EvaluatorSet,
    MultiImageEvaluator,
    check_images,
    fingerprint,
    mean_of,
)
from napari_samstar.core.tuning.nsga2 import search
from tests.core.tiny import tiny_model

BASE = AmgConfig(points_per_side=5, pred_iou_thresh=0.5, stability_score_thresh=0.6)


@pytest.fixture(scope="module")
def evaluators():
    model = tiny_model()
    return tuple(
        Evaluator.of(ProposalBank(discs(s), model)) for s in ((96, 128), (64, 64), (80, 96))
    )


def result(evaluator, config):
    return [s for s in evaluator.evaluate(config) if not isinstance(s, Progress)]


def test_rewards_are_means_and_masks_are_summed(evaluators):
    (together,) = result(MultiImageEvaluator(evaluators[:2]), BASE)
    first, second = (result(j, BASE)[0] for j in evaluators[:2])
    assert together[1] == first[1] + second[1] > 0
    for name, value in together[0].items():
        assert value == pytest.approx((first[0][name] + second[0][name]) / 2)
    assert together[0] != first[0]


def test_an_impossible_image_counts_as_nothing():
    assert mean_of([({"a": 0.0}, 0), ({"a": 1.0}, 7)]) == ({"a": 0.5}, 7)


def test_one_image_is_evaluated_as_by_itself(evaluators):
    assert result(MultiImageEvaluator(evaluators[:1]), BASE) == result(evaluators[0], BASE)


def test_a_search_runs_over_several_images(evaluators):
    study_config = StudyConfig(trials=20, population=8, base=BASE)
    found = [
        e
        for e in search(MultiImageEvaluator(evaluators[:2]).evaluate, Goal(), study_config)
        if isinstance(e, Trial)
    ]
    assert len(found) == 20
    assert found[0].n_masks == sum(result(j, found[0].config)[0][1] for j in evaluators[:2])


def test_checks_tell_tuned_from_held_out(evaluators):
    together = EvaluatorSet(evaluators[:2], evaluators[2:])
    steps: list[object] = []
    found = run(check_images(together, AmgConfig(points_per_side=5), BASE), steps.append)
    assert all(isinstance(step, Progress) for step in steps)
    assert [c.held_out for c in found] == [False, False, True]
    for check, evaluator in zip(found, evaluators, strict=True):
        assert (check.chosen,) == tuple(result(evaluator, BASE))
        assert check.defaults[1] != check.chosen[1]


def test_fingerprints_differ_between_sets_of_images(evaluators):
    one, two = fingerprint(evaluators[0]), fingerprint(MultiImageEvaluator(evaluators[:2]))
    assert one != two
    assert json.loads(json.dumps(two)) == two
    assert len(two["images"]) == 2
    assert one["images"] == two["images"][:1]
    assert one["images"][0]["expectations"]["small"] > 0
