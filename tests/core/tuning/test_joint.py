from __future__ import annotations

import numpy as np
import pytest

from benchmarks.bank import discs
from napari_samstar.core.amg.bank import ProposalBank, run
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.select import select
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.mapping import ImageMapping
from napari_samstar.core.image.prepare import prepare
from napari_samstar.core.image.source import Source
from napari_samstar.core.models.encoder import EmbeddingCache
from napari_samstar.core.progress import Progress
from napari_samstar.core.rewards.expectations import Expectations
from napari_samstar.core.rewards.goal import Goal
from napari_samstar.core.rewards.marks import Marks
from napari_samstar.core.tuning.config import StudyConfig
from napari_samstar.core.tuning.inputs import Other, SearchInputs
from napari_samstar.core.tuning.joint import EvaluatorSet, held_out_checks, seconds, tune
from napari_samstar.core.tuning.storage import path_for
from tests.core.tiny import tiny_model

BASE = AmgConfig(points_per_side=5, pred_iou_thresh=0.5, stability_score_thresh=0.6)
PLAN = StudyConfig(trials=24, population=8, base=BASE)


@pytest.fixture
def stack(tmp_path, monkeypatch):
    monkeypatch.setenv("SAMSTAR_CACHE", str(tmp_path))
    first = discs((96, 128)).rgb[..., 0]
    return np.stack([first, first[::-1], first[:, ::-1], first])


@pytest.fixture
def bank(stack):
    bank = ProposalBank(prepare(stack[0], rgb=False), tiny_model())
    run(bank.prepare(BASE))
    return bank


def plane(stack, k, held_out=False):
    return Other(Source(stack, ImageMapping(plane=(k,)), name=f"stack, plane {k}"), held_out)


def ran(bank, inputs, before=None, study_config=PLAN, resume=False):
    found, evaluators = [], None
    for step in tune(bank, Goal(), study_config, inputs, EmbeddingCache(), before, resume=resume):
        if isinstance(step, EvaluatorSet):
            evaluators = step
        elif isinstance(step, tuple):
            found += step
    assert evaluators is not None
    return evaluators, tuple(found)


def returned(steps):
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def test_a_search_alone_is_the_one_before(bank):
    evaluators, found = ran(bank, SearchInputs())
    assert len(found) == 24
    assert (evaluators.held_out, evaluators.about()) == ((), [])
    chosen = found[-1]
    assert chosen.rewards == evaluators.first.rewards(select(bank, chosen.config))


def test_other_planes_are_searched_on_and_held_out(bank, stack):
    others = (plane(stack, 1), plane(stack, 2, held_out=True))
    evaluators, found = ran(bank, SearchInputs(others=others))
    assert [len(evaluators.tuned), len(evaluators.held_out)] == [2, 1]
    rewards = [j.rewards(select(j.bank, found[5].config)) for j in evaluators.tuned]
    expected = np.mean([r["coverage"] for r in rewards])
    assert found[5].rewards["coverage"] == pytest.approx(expected)
    names = [(x["name"], x["held_out"]) for x in evaluators.about()]
    assert names[1:] == [("stack, plane 1", False), ("stack, plane 2", True)]
    keys = [j.bank.image.key for j in evaluators.tuned]
    assert path_for(keys, bank.model.identity).is_file()

    (check,) = returned(held_out_checks(evaluators, found[0].config, found[-1].config))
    assert check.held_out
    held = evaluators.held_out[0]
    assert check.chosen[0] == held.rewards(select(held.bank, found[-1].config))


def test_what_was_measured_is_used_again_and_a_search_goes_on(bank, stack):
    others = (plane(stack, 1), plane(stack, 2, held_out=True))
    before, found = ran(bank, SearchInputs(others=others))
    more = StudyConfig(trials=40, population=8, base=BASE)
    inputs = SearchInputs(Expectations(count=5), others=others)
    evaluators, _ = ran(bank, inputs, before)
    assert [j.bank for j in evaluators.tuned] == [j.bank for j in before.tuned]
    assert evaluators.first.expectations.count == 5
    _, again = ran(bank, SearchInputs(others=others), before, more, resume=True)
    assert again[: len(found)] == found
    assert len(again) == 40


def test_the_same_picture_twice_is_refused_and_a_stop_is_quick(bank, stack):
    with pytest.raises(UserError, match="are the same picture"):
        ran(bank, SearchInputs(others=(plane(stack, 3),)))
    steps = tune(bank, Goal(), PLAN, SearchInputs(others=(plane(stack, 1),)), EmbeddingCache())
    texts = [step.text for step, _ in zip(steps, range(3), strict=False)]
    assert texts[1] == "Preparing stack, plane 1"
    steps.close()


def test_the_time_runs_out(bank):
    study_config = StudyConfig(trials=5000, population=8, base=BASE)
    _, found = ran(bank, SearchInputs(minutes=0.01), study_config=study_config)
    assert 0 < len(found) < 5000


def test_progress_names_the_image(bank, stack):
    inputs = SearchInputs(others=(plane(stack, 1),))
    steps = tune(bank, Goal(), PLAN, inputs, EmbeddingCache())
    texts = {s.text for s in steps if isinstance(s, Progress)}
    assert any(text.startswith("stack, plane 1: ") for text in texts)


def test_the_time_for_others_is_that_of_encoding_and_asking_them(bank):
    assert seconds(bank, PLAN, 0) == 0
    assert seconds(bank, PLAN, 2) == pytest.approx(2 * seconds(bank, PLAN, 1))
    assert seconds(bank, PLAN, 1) > 0


def test_examples_on_one_image_are_looked_for_on_all(bank, stack):
    disc = np.zeros(bank.shape, dtype=np.int32)
    disc[20:34, 20:34] = 1
    inputs = SearchInputs(marks=Marks(examples=disc), others=(plane(stack, 1),))
    evaluators, found = ran(bank, inputs)
    first, other = evaluators.tuned
    assert first.examples == other.examples != ()
    assert {e.config.examples for e in found} == {first.examples}
    assert len({e.config.min_likeness for e in found}) > 3
    assert all("shape_prior" in evaluator.applicable() for evaluator in evaluators.tuned)
    assert other.marks.digest() != Marks().digest()
