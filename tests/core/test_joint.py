from __future__ import annotations

import numpy as np
import pytest

from benchmarks.bank import discs
from napari_samstar.core.config import AmgConfig
from napari_samstar.core.encoder import EmbeddingCache
from napari_samstar.core.errors import UserError
from napari_samstar.core.expectations import Expectations
from napari_samstar.core.goal import Goal
from napari_samstar.core.images import Mapping, prepare
from napari_samstar.core.joint import Jury, held_out_checks, seconds, tune
from napari_samstar.core.journal import path_for
from napari_samstar.core.marks import Marks
from napari_samstar.core.progress import Progress
from napari_samstar.core.proposals import ProposalBank, run
from napari_samstar.core.search import Plan
from napari_samstar.core.select import select
from napari_samstar.core.source import Source
from napari_samstar.core.told import Other, Told
from tests.core.tiny import tiny_model

BASE = AmgConfig(points_per_side=5, pred_iou_thresh=0.5, stability_score_thresh=0.6)
PLAN = Plan(evaluations=24, population=8, base=BASE)


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
    return Other(Source(stack, Mapping(plane=(k,)), name=f"stack, plane {k}"), held_out)


def ran(bank, told, before=None, plan=PLAN, resume=False):
    found, jury = [], None
    for step in tune(bank, Goal(), plan, told, EmbeddingCache(), before, resume=resume):
        if isinstance(step, Jury):
            jury = step
        elif isinstance(step, tuple):
            found += step
    assert jury is not None
    return jury, tuple(found)


def returned(steps):
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def test_a_search_alone_is_the_one_before(bank):
    jury, found = ran(bank, Told())
    assert len(found) == 24
    assert (jury.held_out, jury.about()) == ((), [])
    chosen = found[-1]
    assert chosen.rewards == jury.first.rewards(select(bank, chosen.config))


def test_other_planes_are_searched_on_and_held_out(bank, stack):
    others = (plane(stack, 1), plane(stack, 2, held_out=True))
    jury, found = ran(bank, Told(others=others))
    assert [len(jury.tuned), len(jury.held_out)] == [2, 1]
    rewards = [j.rewards(select(j.bank, found[5].config)) for j in jury.tuned]
    expected = np.mean([r["coverage"] for r in rewards])
    assert found[5].rewards["coverage"] == pytest.approx(expected)
    names = [(x["name"], x["held_out"]) for x in jury.about()]
    assert names[1:] == [("stack, plane 1", False), ("stack, plane 2", True)]
    keys = [j.bank.image.key for j in jury.tuned]
    assert path_for(keys, bank.model.identity).is_file()

    (check,) = returned(held_out_checks(jury, found[0].config, found[-1].config))
    assert check.held_out
    held = jury.held_out[0]
    assert check.chosen[0] == held.rewards(select(held.bank, found[-1].config))


def test_what_was_measured_is_used_again_and_a_search_goes_on(bank, stack):
    others = (plane(stack, 1), plane(stack, 2, held_out=True))
    before, found = ran(bank, Told(others=others))
    more = Plan(evaluations=40, population=8, base=BASE)
    told = Told(Expectations(count=5), others=others)
    jury, _ = ran(bank, told, before)
    assert [j.bank for j in jury.tuned] == [j.bank for j in before.tuned]
    assert jury.first.expectations.count == 5
    _, again = ran(bank, Told(others=others), before, more, resume=True)
    assert again[: len(found)] == found
    assert len(again) == 40


def test_the_same_picture_twice_is_refused_and_a_stop_is_quick(bank, stack):
    with pytest.raises(UserError, match="are the same picture"):
        ran(bank, Told(others=(plane(stack, 3),)))
    steps = tune(bank, Goal(), PLAN, Told(others=(plane(stack, 1),)), EmbeddingCache())
    texts = [step.text for step, _ in zip(steps, range(3), strict=False)]
    assert texts[1] == "Preparing stack, plane 1"
    steps.close()


def test_the_time_runs_out(bank):
    plan = Plan(evaluations=5000, population=8, base=BASE)
    _, found = ran(bank, Told(minutes=0.01), plan=plan)
    assert 0 < len(found) < 5000


def test_progress_names_the_image(bank, stack):
    told = Told(others=(plane(stack, 1),))
    steps = tune(bank, Goal(), PLAN, told, EmbeddingCache())
    texts = {s.text for s in steps if isinstance(s, Progress)}
    assert any(text.startswith("stack, plane 1: ") for text in texts)


def test_the_time_for_others_is_that_of_encoding_and_asking_them(bank):
    assert seconds(bank, PLAN, 0) == 0
    assert seconds(bank, PLAN, 2) == pytest.approx(2 * seconds(bank, PLAN, 1))
    assert seconds(bank, PLAN, 1) > 0


def test_examples_on_one_image_are_looked_for_on_all(bank, stack):
    disc = np.zeros(bank.shape, dtype=np.int32)
    disc[20:34, 20:34] = 1
    told = Told(marks=Marks(examples=disc), others=(plane(stack, 1),))
    jury, found = ran(bank, told)
    first, other = jury.tuned
    assert first.examples == other.examples != ()
    assert {e.config.examples for e in found} == {first.examples}
    assert len({e.config.min_likeness for e in found}) > 3
    assert all("shape_prior" in judge.applicable() for judge in jury.tuned)
    assert other.marks.digest() != Marks().digest()
