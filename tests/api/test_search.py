from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from benchmarks.bank import discs
from napari_samstar.api.pipeline import iter_search, iter_tune
from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.select import select
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.loaded import LoadedImage
from napari_samstar.core.image.mapping import ImageMapping
from napari_samstar.core.image.prepare import prepare
from napari_samstar.core.models.encoder import EmbeddingCache
from napari_samstar.core.progress import Progress, run
from napari_samstar.core.results.recipe import Recipe
from napari_samstar.core.results.result import segment_bank
from napari_samstar.core.rewards.expectations import Expectations
from napari_samstar.core.rewards.goal import Goal
from napari_samstar.core.rewards.marks import Marks
from napari_samstar.core.tuning.config import StudyConfig
from napari_samstar.core.tuning.cost import seconds_to_decode
from napari_samstar.core.tuning.evaluator import check_images
from napari_samstar.core.tuning.inputs import ExtraImage, SearchInputs
from napari_samstar.core.tuning.planned import search
from napari_samstar.core.tuning.storage import Journal, Notice, path_for
from tests.core.tiny import tiny_model

BASE = AmgConfig(points_per_side=5, pred_iou_thresh=0.5, stability_score_thresh=0.6)
CONFIG = StudyConfig(trials=24, population=8, base=BASE)


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
    image = LoadedImage(stack, name=f"stack, plane {k}", mapping=ImageMapping(plane=(k,)))
    return ExtraImage(image, held_out)


def searched(bank, inputs, previous=None, study_config=CONFIG, resume=False):
    steps = iter_search(
        bank, Goal(), study_config, inputs, EmbeddingCache(), previous, resume=resume
    )
    search = run(steps)
    return search.evaluators, search.trials


def test_a_search_on_one_image_has_one_evaluator_and_names_no_images(bank):
    evaluators, trials = searched(bank, SearchInputs())
    assert len(trials) == 24
    assert (evaluators.held_out, evaluators.images()) == ((), [])
    chosen = trials[-1]
    assert chosen.rewards == evaluators.first.rewards(select(bank, chosen.config))


WIDE = StudyConfig("wide", 48, 8, base=BASE, cost=300.0)


def test_a_wide_search_is_stored_with_its_plan_and_goes_on(bank, stack):
    _, trials = searched(bank, SearchInputs(), study_config=WIDE)
    assert len({(e.config.prompts, e.config.shown, e.config.crop_n_layers) for e in trials}) > 2
    journal = Journal.of([bank.image.key], bank.model.identity)
    (stored,) = journal.runs
    assert stored.trials == trials
    assert (stored.study_config.cost, len(stored.study_config.factors)) == (300.0, 3)
    # Another budget of trials goes on with the same plan, on another machine with another pace too.
    fresh = ProposalBank(bank.image, bank.model)
    more = dataclasses.replace(WIDE, trials=60, cost=0.0)
    _, again = searched(fresh, SearchInputs(), study_config=more, resume=True)
    assert again[:48] == trials
    assert len(again) == 60
    assert Journal.of([bank.image.key], bank.model.identity).runs[1].study_config.cost == 300.0


def test_the_time_of_a_wide_search_becomes_a_cost_that_its_recipe_holds(bank):
    steps = iter_tune(
        bank, Goal(), dataclasses.replace(WIDE, cost=0.0, seconds=5.0), SearchInputs(),
        EmbeddingCache(), against_random=True,
    )  # fmt: skip
    study = run(steps)
    assert study.summary.study_config.cost > 0
    result = study.best.segment()
    recipe = Recipe.from_dict(json.loads(json.dumps(result.recipe.to_dict())))
    stored = StudyConfig.from_dict(recipe.tuning.study)
    assert stored == study.summary.study_config
    repeated = [e for e in search(study.evaluators.first.evaluate, Goal(), stored, [bank])
                if not isinstance(e, Progress)]  # fmt: skip
    assert tuple(repeated) == study.trials
    labels = run(segment_bank(ProposalBank(bank.image, bank.model), recipe.config)).labels
    np.testing.assert_array_equal(labels, result.labels)


def test_extra_planes_are_searched_on_and_held_out(bank, stack):
    extra = (plane(stack, 1), plane(stack, 2, held_out=True))
    evaluators, trials = searched(bank, SearchInputs(extra_images=extra))
    assert [len(evaluators.tuned), len(evaluators.held_out)] == [2, 1]
    rewards = [e.rewards(select(e.bank, trials[5].config)) for e in evaluators.tuned]
    expected = np.mean([r["likely_objects"] for r in rewards])
    assert trials[5].rewards["likely_objects"] == pytest.approx(expected)
    names = [(x["name"], x["held_out"]) for x in evaluators.images()]
    assert names[1:] == [("stack, plane 1", False), ("stack, plane 2", True)]
    keys = [e.bank.image.key for e in evaluators.tuned]
    assert path_for(keys, bank.model.identity).is_file()

    pair = trials[0].config, trials[-1].config
    (check,) = run(check_images(evaluators, *pair, held_out_only=True))
    assert check.held_out
    held = evaluators.held_out[0]
    assert check.chosen[0] == held.rewards(select(held.bank, trials[-1].config))
    assert [c.held_out for c in run(check_images(evaluators, *pair))] == [False, False, True]


def test_measurements_are_used_again_and_a_search_is_resumed(bank, stack):
    extra = (plane(stack, 1), plane(stack, 2, held_out=True))
    previous, trials = searched(bank, SearchInputs(extra_images=extra))
    more = StudyConfig(trials=40, population=8, base=BASE)
    inputs = SearchInputs(Expectations(count=5), extra_images=extra)
    evaluators, _ = searched(bank, inputs, previous)
    assert [e.bank for e in evaluators.tuned] == [e.bank for e in previous.tuned]
    assert evaluators.first.expectations.count == 5
    _, again = searched(bank, SearchInputs(extra_images=extra), previous, more, resume=True)
    assert again[: len(trials)] == trials
    assert len(again) == 40


def test_the_same_picture_twice_is_refused(bank, stack):
    with pytest.raises(UserError, match="are the same picture"):
        searched(bank, SearchInputs(extra_images=(plane(stack, 3),)))


def test_extra_images_are_prepared_step_by_step(bank, stack):
    inputs = SearchInputs(extra_images=(plane(stack, 1),))
    steps = iter_search(bank, Goal(), CONFIG, inputs, EmbeddingCache())
    texts = [step.text for step, _ in zip(steps, range(3), strict=False)]
    assert texts[1] == "Preparing stack, plane 1"
    steps.close()


def test_a_search_ends_when_the_time_is_up(bank):
    study_config = StudyConfig(trials=5000, population=8, base=BASE)
    _, trials = searched(bank, SearchInputs(minutes=0.01), study_config=study_config)
    assert 0 < len(trials) < 5000


def test_progress_names_the_image(bank, stack):
    inputs = SearchInputs(extra_images=(plane(stack, 1),))
    steps = iter_search(bank, Goal(), CONFIG, inputs, EmbeddingCache())
    texts = {s.text for s in steps if isinstance(s, Progress)}
    assert any(text.startswith("stack, plane 1: ") for text in texts)


def test_extra_images_cost_their_encoding_and_decoding(bank):
    assert seconds_to_decode(bank, CONFIG) == 0
    one, two = (seconds_to_decode(bank, CONFIG, n) for n in (1, 2))
    assert two == pytest.approx(2 * one)
    assert one > 0


def test_examples_on_one_image_count_on_all(bank, stack):
    disc = np.zeros(bank.shape, dtype=np.int32)
    disc[20:34, 20:34] = 1
    inputs = SearchInputs(marks=Marks(examples=disc), extra_images=(plane(stack, 1),))
    evaluators, trials = searched(bank, inputs)
    first, other = evaluators.tuned
    assert first.examples == other.examples != ()
    assert {t.config.examples for t in trials} == {first.examples}
    assert len({t.config.min_likeness for t in trials}) > 3
    assert all("shape_prior" in evaluator.applicable() for evaluator in evaluators.tuned)
    assert other.marks.digest() != Marks().digest()


def test_a_journal_that_cannot_be_read_stops_only_a_resumed_search(bank):
    path = path_for([bank.image.key], bank.model.identity)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("an essay")
    steps = iter_search(bank, Goal(), CONFIG, SearchInputs(), EmbeddingCache())
    notices = [step.text for step in steps if isinstance(step, Notice)]
    assert len(notices) == 1
    assert notices[0].endswith("This run is not written down.")
    with pytest.raises(UserError, match="not a journal"):
        searched(bank, SearchInputs(), resume=True)
