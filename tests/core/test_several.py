from __future__ import annotations

import json

import pytest

from benchmarks.bank import discs
from napari_samstar.core.config import AmgConfig
from napari_samstar.core.goal import Goal
from napari_samstar.core.progress import Progress
from napari_samstar.core.proposals import ProposalBank
from napari_samstar.core.search import Evaluation, Plan, search
from napari_samstar.core.several import Several, checks, judged_by, mean_of
from napari_samstar.core.tuning import Judge
from tests.core.tiny import tiny_model

BASE = AmgConfig(points_per_side=5, pred_iou_thresh=0.5, stability_score_thresh=0.6)


@pytest.fixture(scope="module")
def judges():
    model = tiny_model()
    return tuple(Judge.of(ProposalBank(discs(s), model)) for s in ((96, 128), (64, 64), (80, 96)))


def result(judge, config):
    return [s for s in judge.evaluate(config) if not isinstance(s, Progress)]


def test_it_is_the_mean_of_each_reward_and_all_masks(judges):
    (together,) = result(Several(judges[:2]), BASE)
    first, second = (result(j, BASE)[0] for j in judges[:2])
    assert together[1] == first[1] + second[1] > 0
    for name, value in together[0].items():
        assert value == pytest.approx((first[0][name] + second[0][name]) / 2)
    assert together[0] != first[0]


def test_an_impossible_image_counts_as_nothing():
    assert mean_of([({"a": 0.0}, 0), ({"a": 1.0}, 7)]) == ({"a": 0.5}, 7)


def test_one_image_is_judged_as_by_itself(judges):
    assert result(Several(judges[:1]), BASE) == result(judges[0], BASE)


def test_a_search_runs_over_several(judges):
    plan = Plan(evaluations=20, population=8, base=BASE)
    found = [
        e for e in search(Several(judges[:2]).evaluate, Goal(), plan) if isinstance(e, Evaluation)
    ]
    assert len(found) == 20
    assert found[0].n_masks == sum(result(j, found[0].config)[0][1] for j in judges[:2])


def test_checks_tell_tuned_from_held_out(judges):
    work = checks(judges[:2], judges[2:], AmgConfig(points_per_side=5), BASE)
    while True:
        try:
            assert isinstance(next(work), Progress)
        except StopIteration as end:
            found = end.value
            break
    assert [c.held_out for c in found] == [False, False, True]
    for check, judge in zip(found, judges, strict=True):
        assert (check.chosen,) == tuple(result(judge, BASE))
        assert check.defaults[1] != check.chosen[1]


def test_what_judges_is_told_apart(judges):
    one, two = judged_by(judges[0]), judged_by(Several(judges[:2]))
    assert one != two
    assert json.loads(json.dumps(two)) == two
    assert len(two["images"]) == 2
    assert one["images"] == two["images"][:1]
    assert one["images"][0]["expectations"]["small"] > 0
