from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch

from napari_samstar.core.adaptation.online import Adaptation
from napari_samstar.core.adaptation.targets import AdaptSettings, Example
from napari_samstar.core.adaptation.weights import adapted
from napari_samstar.core.interactive.click_session import ClickSession
from napari_samstar.core.interactive.clicks import Click, ClickPrompt
from napari_samstar.core.interactive.next_click import iou, next_click
from napari_samstar.core.interactive.predict import predict
from napari_samstar.core.interactive.state import ClickState
from tests.core.clicked import SHAPE, embedded, pocket, small_sam, truth

QUICK = AdaptSettings(object_steps=1, guard=False)
RUINOUS = AdaptSettings(object_steps=2, object_rate=3e-2, pull=0.0, replay=1)


def finish(work):
    states = []
    while True:
        try:
            states.append(next(work))
        except StopIteration as end:
            return end.value, states


def example(k: int, mask: np.ndarray | None = None, name: str = "pocket") -> Example:
    model = pocket() if name == "pocket" else small_sam()
    session = ClickSession(model, embedded(name))
    session.add(next_click(truth(k)))
    session.add(Click(5, 5, positive=False))
    return Example(embedded(name), session.states, truth(k) if mask is None else mask)


def first_masks(model) -> list[np.ndarray]:
    clicks = [next_click(truth(k)) for k in range(3)]
    return [predict(model, embedded(), ClickPrompt((c,))).low_res for c in clicks]


def first_iou(model, k: int) -> float:
    return iou(predict(model, embedded(), ClickPrompt((next_click(truth(k)),))).mask, truth(k))


def weights(model) -> list[torch.Tensor]:
    return [p.clone() for p in model.sam.mask_decoder.parameters()]


@pytest.mark.parametrize("kind", ["decoder", "low-rank"])
def test_learning_changes_the_answer_and_never_the_original(kind):
    before = weights(pocket())
    adaptation = Adaptation(pocket(), AdaptSettings(object_steps=2, kind=kind, guard=False))
    outcome, states = finish(adaptation.accept(example(0)))
    assert outcome.kept
    assert len(states) == 3
    assert not np.array_equal(first_masks(adaptation.model)[0], first_masks(pocket())[0])
    assert all(map(torch.equal, before, weights(pocket())))


def test_reset_restores_the_original_masks_bit_for_bit():
    original = first_masks(pocket())
    adaptation = Adaptation(pocket(), QUICK)
    finish(adaptation.accept(example(0)))
    changed = adaptation.model
    assert adaptation.reset() is pocket()
    assert all(map(np.array_equal, original, first_masks(adaptation.model)))
    assert changed is not adaptation.model
    assert adaptation.learned is None
    assert not adaptation.examples


def test_learning_moves_the_answer_towards_the_accepted_mask():
    wanted = truth(1)
    wanted[60:] = False  # only upper halves are objects here
    settings = AdaptSettings(object_steps=6, object_rate=2e-3, guard=False, replay=0)
    adaptation = Adaptation(pocket(), settings)
    click = ClickPrompt((Click(50, 100),))
    before = predict(pocket(), embedded(), click).mask
    finish(adaptation.accept(Example.found(embedded(), wanted)))
    after = predict(adaptation.model, embedded(), click).mask
    assert iou(after, wanted) > iou(before, wanted) + 0.1


def test_metas_architecture_learns_too():
    adaptation = Adaptation(small_sam(), AdaptSettings(object_steps=2, guard=False))
    outcome, _ = finish(adaptation.accept(example(0, name="small")))
    assert outcome.kept
    before, after = (
        predict(m, embedded("small"), ClickPrompt((Click(40, 40),))).low_res
        for m in (small_sam(), adaptation.model)
    )
    assert not np.array_equal(before, after)


def test_wrong_objects_are_taken_back_and_earlier_ones_stay_as_good():
    rng = np.random.default_rng(0)
    settings = AdaptSettings(object_steps=1, object_rate=1e-5)
    adaptation = Adaptation(pocket(), settings)
    for k in (0, 1):
        assert finish(adaptation.accept(example(k)))[0].kept
    good = [first_iou(adaptation.model, k) for k in (0, 1)]
    adaptation.settings = RUINOUS
    kept = []
    for _ in range(2):
        wrong = rng.random(SHAPE) < 0.5
        wrong[truth(0) | truth(1)] = False
        kept.append(finish(adaptation.accept(example(2, wrong)))[0])
    assert not any(outcome.kept for outcome in kept)
    assert "Taken back" in kept[0].text
    assert adaptation.taken_back == 2
    assert len(adaptation.examples) == 2
    for k in (0, 1):
        assert first_iou(adaptation.model, k) >= good[k] - 3 * settings.tolerance


def test_without_the_guard_the_same_objects_do_harm():
    adaptation = Adaptation(pocket(), AdaptSettings(object_steps=1, object_rate=1e-5))
    finish(adaptation.accept(example(0)))
    before = first_iou(adaptation.model, 0)
    adaptation.settings = AdaptSettings(**{**vars(RUINOUS), "guard": False, "replay": 0})
    wrong = np.random.default_rng(0).random(SHAPE) < 0.5
    finish(adaptation.accept(example(2, wrong & ~truth(0))))
    after = first_iou(adaptation.model, 0)
    assert after < before - 0.1


def test_what_clicks_teach_is_for_the_present_object_alone():
    adaptation = Adaptation(pocket(), AdaptSettings(click_steps=1, click_rate=1e-3))
    session = ClickSession(adaptation.begin(), embedded())
    session.add(Click(40, 40))
    session.add(Click(58, 40, positive=False))
    model, states = finish(adaptation.learn_clicks(embedded(), session.states))
    assert len(states) == 1
    assert model is not adaptation.model
    assert not np.array_equal(first_masks(model)[0], first_masks(pocket())[0])
    assert adaptation.begin() is pocket()


def test_the_clicks_lesson_is_learned():
    settings = AdaptSettings(click_steps=8, click_rate=1e-3, consistency=1.0, pull=0.0)
    adaptation = Adaptation(pocket(), settings)
    session = ClickSession(adaptation.begin(), embedded())
    session.add(Click(60, 100))
    session.add(Click(60, 88, positive=False))
    shown = session.state.prediction.mask
    taught, _ = finish(adaptation.learn_clicks(embedded(), session.states))
    state = session.state
    raw = [predict(m, embedded(), state.prompt, state.previous).mask for m in (pocket(), taught)]
    assert iou(raw[1], shown) >= iou(raw[0], shown)


def test_the_same_seed_learns_the_same():
    digests = []
    for _ in range(2):
        adaptation = Adaptation(pocket(), QUICK)
        for k in (0, 1):
            finish(adaptation.accept(example(k)))
        digests.append(adaptation.learned.digest())
    assert digests[0] == digests[1]


def test_a_prediction_meanwhile_is_not_disturbed():
    adaptation = Adaptation(pocket(), AdaptSettings(object_steps=4))
    expected = first_masks(adaptation.model)
    thread = threading.Thread(target=lambda: finish(adaptation.accept(example(0))))
    thread.start()
    seen = []
    while thread.is_alive():
        seen.append(first_masks(pocket()))
    thread.join()
    assert seen
    for masks in seen:
        assert all(map(np.array_equal, masks, expected))


def test_what_was_learned_answers_first_clicks_only_once_it_proved_better():
    adaptation = Adaptation(pocket(), QUICK)
    assert adaptation.beside is None
    finish(adaptation.accept(example(0)))
    assert not adaptation.proven  # nothing new was asked yet
    assert adaptation.begin() is pocket()
    assert adaptation.beside is adaptation.model
    upper = truth(1) & (np.indices(SHAPE)[0] < 60)
    adaptation.settings = AdaptSettings(object_steps=6, object_rate=2e-3, guard=False, replay=0)
    for _ in range(2):  # only upper halves are objects here; the second time it knows
        click = ClickState(ClickPrompt((Click(50, 100),)))
        finish(adaptation.accept(Example(embedded(), (click,), upper)))
    assert adaptation.gain > 0
    assert adaptation.proven
    assert adaptation.begin() is adaptation.model
    assert adaptation.beside is pocket()
    assert "better than the original's" in adaptation.text


def test_what_answers_worse_than_the_original_answers_no_first_click():
    adaptation = Adaptation(pocket(), RUINOUS)
    adaptation.settings = AdaptSettings(**{**vars(RUINOUS), "guard": False})
    wrong = np.random.default_rng(0).random(SHAPE) < 0.5
    finish(adaptation.accept(example(2, wrong & ~truth(0))))
    adaptation.settings = QUICK
    finish(adaptation.accept(example(0)))
    assert adaptation.gain < 0
    assert adaptation.begin() is pocket()
    assert "no better" in adaptation.text
    adaptation.settings = AdaptSettings(object_steps=1, proof=False)
    assert adaptation.begin() is adaptation.model


def test_what_was_learned_can_be_restored():
    adaptation = Adaptation(pocket(), QUICK)
    finish(adaptation.accept(example(0)))
    other = Adaptation(pocket())
    other.restore(adaptation.learned)
    assert all(map(np.array_equal, first_masks(other.model), first_masks(adaptation.model)))
    assert other.begin() is other.model  # whoever loads it wants it
    assert adapted(pocket(), None) is pocket()


def test_the_state_is_said_in_one_line():
    adaptation = Adaptation(pocket(), AdaptSettings(object_steps=1, object_rate=1e-5))
    assert "Nothing learned" in adaptation.text
    for k in range(2):
        finish(adaptation.accept(example(k)))
    assert adaptation.text.startswith("Learned from 2 objects, checked on 1.")
    assert "the original's" in adaptation.text


def test_a_step_with_the_bundled_model_takes_under_half_a_second():
    """CPU time, so that other processes do not count; one thread."""
    adaptation = Adaptation(pocket(), AdaptSettings(click_steps=1))
    session = ClickSession(pocket(), embedded())
    for click in (Click(40, 40), Click(58, 40, positive=False)):
        session.add(click)
    finish(adaptation.learn_clicks(embedded(), session.states))
    began = time.process_time()
    finish(adaptation.learn_clicks(embedded(), session.states))
    assert time.process_time() - began < 0.5
