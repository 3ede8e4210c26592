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
from napari_samstar.core.progress import run as run_to_end
from tests.core.disc_image import SHAPE, disc, embedding, pocket, small_sam

QUICK = AdaptSettings(object_steps=1, rollback=False)
HARMFUL = AdaptSettings(object_steps=2, object_learning_rate=3e-2, l2_sp=0.0, replay=1)


def run(work):
    steps = []
    return run_to_end(work, steps.append), steps


def example(k: int, mask: np.ndarray | None = None, name: str = "pocket") -> Example:
    model = pocket() if name == "pocket" else small_sam()
    session = ClickSession(model, embedding(name))
    session.add(next_click(disc(k)))
    session.add(Click(5, 5, positive=False))
    return Example(embedding(name), session.states, disc(k) if mask is None else mask)


def first_masks(model) -> list[np.ndarray]:
    clicks = [next_click(disc(k)) for k in range(3)]
    return [predict(model, embedding(), ClickPrompt((c,))).low_res_logits for c in clicks]


def first_iou(model, k: int) -> float:
    return iou(predict(model, embedding(), ClickPrompt((next_click(disc(k)),))).mask, disc(k))


def weights(model) -> list[torch.Tensor]:
    return [p.clone() for p in model.sam.mask_decoder.parameters()]


@pytest.mark.parametrize("kind", ["decoder", "low-rank"])
def test_learning_changes_predictions_and_never_the_original(kind):
    before = weights(pocket())
    adaptation = Adaptation(pocket(), AdaptSettings(object_steps=2, kind=kind, rollback=False))
    update, steps = run(adaptation.learn_object(example(0)))
    assert update.kept
    assert len(steps) == 3
    assert not np.array_equal(first_masks(adaptation.model)[0], first_masks(pocket())[0])
    assert all(map(torch.equal, before, weights(pocket())))


def test_reset_restores_the_original_masks_bit_for_bit():
    original = first_masks(pocket())
    adaptation = Adaptation(pocket(), QUICK)
    run(adaptation.learn_object(example(0)))
    changed = adaptation.model
    assert adaptation.reset() is pocket()
    assert all(map(np.array_equal, original, first_masks(adaptation.model)))
    assert changed is not adaptation.model
    assert adaptation.delta is None
    assert not adaptation.examples


def test_learning_moves_predictions_towards_the_accepted_mask():
    wanted = disc(1)
    wanted[60:] = False  # only upper halves are objects here
    settings = AdaptSettings(object_steps=6, object_learning_rate=2e-3, rollback=False, replay=0)
    adaptation = Adaptation(pocket(), settings)
    click = ClickPrompt((Click(50, 100),))
    before = predict(pocket(), embedding(), click).mask
    run(adaptation.learn_object(Example.from_mask(embedding(), wanted)))
    after = predict(adaptation.model, embedding(), click).mask
    assert iou(after, wanted) > iou(before, wanted) + 0.1


def test_metas_architecture_is_adapted_too():
    adaptation = Adaptation(small_sam(), AdaptSettings(object_steps=2, rollback=False))
    update, _ = run(adaptation.learn_object(example(0, name="small")))
    assert update.kept
    before, after = (
        predict(m, embedding("small"), ClickPrompt((Click(40, 40),))).low_res_logits
        for m in (small_sam(), adaptation.model)
    )
    assert not np.array_equal(before, after)


def test_updates_that_harm_earlier_objects_are_rolled_back():
    rng = np.random.default_rng(0)
    settings = AdaptSettings(object_steps=1, object_learning_rate=1e-5)
    adaptation = Adaptation(pocket(), settings)
    for k in (0, 1):
        assert run(adaptation.learn_object(example(k)))[0].kept
    good = [first_iou(adaptation.model, k) for k in (0, 1)]
    adaptation.settings = HARMFUL
    updates = []
    for _ in range(2):
        wrong = rng.random(SHAPE) < 0.5
        wrong[disc(0) | disc(1)] = False
        updates.append(run(adaptation.learn_object(example(2, wrong)))[0])
    assert not any(update.kept for update in updates)
    assert "Rolled back" in updates[0].text
    assert adaptation.n_rolled_back == 2
    assert len(adaptation.examples) == 2
    for k in (0, 1):
        assert first_iou(adaptation.model, k) >= good[k] - 3 * settings.tolerance


def test_without_rollback_the_same_updates_do_harm():
    adaptation = Adaptation(pocket(), AdaptSettings(object_steps=1, object_learning_rate=1e-5))
    run(adaptation.learn_object(example(0)))
    before = first_iou(adaptation.model, 0)
    adaptation.settings = AdaptSettings(**{**vars(HARMFUL), "rollback": False, "replay": 0})
    wrong = np.random.default_rng(0).random(SHAPE) < 0.5
    run(adaptation.learn_object(example(2, wrong & ~disc(0))))
    after = first_iou(adaptation.model, 0)
    assert after < before - 0.1


def test_learning_from_clicks_affects_the_current_object_only():
    adaptation = Adaptation(pocket(), AdaptSettings(click_steps=1, click_learning_rate=1e-3))
    session = ClickSession(adaptation.start_object(), embedding())
    session.add(Click(40, 40))
    session.add(Click(58, 40, positive=False))
    model, steps = run(adaptation.learn_clicks(embedding(), session.states))
    assert len(steps) == 1
    assert model is not adaptation.model
    assert not np.array_equal(first_masks(model)[0], first_masks(pocket())[0])
    assert adaptation.start_object() is pocket()


def test_learning_from_clicks_moves_predictions_towards_the_current_mask():
    settings = AdaptSettings(click_steps=8, click_learning_rate=1e-3, consistency=1.0, l2_sp=0.0)
    adaptation = Adaptation(pocket(), settings)
    session = ClickSession(adaptation.start_object(), embedding())
    session.add(Click(60, 100))
    session.add(Click(60, 88, positive=False))
    shown = session.state.prediction.mask
    adapted_model, _ = run(adaptation.learn_clicks(embedding(), session.states))
    state = session.state
    raw = [
        predict(m, embedding(), state.prompt, state.mask_prompt).mask
        for m in (pocket(), adapted_model)
    ]
    assert iou(raw[1], shown) >= iou(raw[0], shown)


def test_equal_seeds_give_equal_weights():
    digests = []
    for _ in range(2):
        adaptation = Adaptation(pocket(), QUICK)
        for k in (0, 1):
            run(adaptation.learn_object(example(k)))
        digests.append(adaptation.delta.digest())
    assert digests[0] == digests[1]


def test_predictions_during_learning_do_not_change():
    adaptation = Adaptation(pocket(), AdaptSettings(object_steps=4))
    expected = first_masks(adaptation.model)
    thread = threading.Thread(target=lambda: run(adaptation.learn_object(example(0))))
    thread.start()
    seen = []
    while thread.is_alive():
        seen.append(first_masks(pocket()))
    thread.join()
    assert seen
    for masks in seen:
        assert all(map(np.array_equal, masks, expected))


def test_the_adapted_model_gets_first_clicks_once_it_is_validated():
    adaptation = Adaptation(pocket(), QUICK)
    assert adaptation.competitor is None
    run(adaptation.learn_object(example(0)))
    assert not adaptation.validated  # no new object yet
    assert adaptation.start_object() is pocket()
    assert adaptation.competitor is adaptation.model
    upper = disc(1) & (np.indices(SHAPE)[0] < 60)
    adaptation.settings = AdaptSettings(
        object_steps=6, object_learning_rate=2e-3, rollback=False, replay=0
    )
    for _ in range(2):  # only upper halves are objects here
        click = ClickState(ClickPrompt((Click(50, 100),)))
        run(adaptation.learn_object(Example(embedding(), (click,), upper)))
    assert adaptation.gain > 0
    assert adaptation.validated
    assert adaptation.start_object() is adaptation.model
    assert adaptation.competitor is pocket()
    assert "better masks than before" in adaptation.text


def test_a_model_worse_than_the_original_gets_no_first_clicks():
    adaptation = Adaptation(pocket(), HARMFUL)
    adaptation.settings = AdaptSettings(**{**vars(HARMFUL), "rollback": False})
    wrong = np.random.default_rng(0).random(SHAPE) < 0.5
    run(adaptation.learn_object(example(2, wrong & ~disc(0))))
    adaptation.settings = QUICK
    run(adaptation.learn_object(example(0)))
    assert adaptation.gain < 0
    assert adaptation.start_object() is pocket()
    assert "no better" in adaptation.text
    adaptation.settings = AdaptSettings(object_steps=1, validate=False)
    assert adaptation.start_object() is adaptation.model


def test_restored_weights_get_first_clicks_at_once():
    adaptation = Adaptation(pocket(), QUICK)
    run(adaptation.learn_object(example(0)))
    other = Adaptation(pocket())
    other.restore(adaptation.delta)
    assert all(map(np.array_equal, first_masks(other.model), first_masks(adaptation.model)))
    assert other.start_object() is other.model
    assert adapted(pocket(), None) is pocket()


def test_the_text_describes_the_state_in_one_line():
    adaptation = Adaptation(pocket(), AdaptSettings(object_steps=1, object_learning_rate=1e-5))
    assert "Nothing learned" in adaptation.text
    for k in range(2):
        run(adaptation.learn_object(example(k)))
    assert adaptation.text.startswith("Learned from 2 objects, checked on 1.")
    assert "before" in adaptation.text


def test_a_training_step_of_the_bundled_model_takes_under_half_a_second():
    """Measured as CPU time, so that other processes do not count."""
    adaptation = Adaptation(pocket(), AdaptSettings(click_steps=1))
    session = ClickSession(pocket(), embedding())
    for click in (Click(40, 40), Click(58, 40, positive=False)):
        session.add(click)
    run(adaptation.learn_clicks(embedding(), session.states))
    began = time.process_time()
    run(adaptation.learn_clicks(embedding(), session.states))
    assert time.process_time() - began < 0.5
