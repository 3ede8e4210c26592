from __future__ import annotations

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor

from napari_samstar.core.clicks import (
    Box,
    Click,
    ClickSession,
    Prompt,
    choose,
    local_change,
    logits_of,
    predict,
)
from napari_samstar.core.errors import UserError
from tests.core.clicked import SHAPE, embedded, image, pocket, small_sam, truth

CLICKS = (Click(40, 40), Click(20, 60, positive=False), Click(50, 44))


@pytest.mark.parametrize("name", ["pocket", "small"])
def test_masks_equal_sam_predictors_bit_for_bit(name):
    model = pocket() if name == "pocket" else small_sam()
    upstream = SamPredictor(model.sam)
    upstream.set_image(image())
    masks, scores, low = upstream.predict(np.array([[40, 40]]), np.array([1]))
    k = choose(masks, scores, CLICKS[0])
    mine = predict(model, embedded(name), Prompt(CLICKS[:1]))
    assert np.array_equal(mine.mask, masks[k])
    assert np.array_equal(mine.low_res, low[k])
    assert mine.predicted_iou == scores[k]
    box = Box(22, 20, 58, 61)
    for clicks, corners in ((CLICKS, None), ((), box), (CLICKS, box)):
        theirs = upstream.predict(
            np.array([(c.col, c.row) for c in clicks]) if clicks else None,
            np.array([int(c.positive) for c in clicks]) if clicks else None,
            box=None if corners is None else np.array([20, 22, 61, 58]),
            mask_input=low[k][None],
            multimask_output=False,
        )
        mine = predict(model, embedded(name), Prompt(clicks, corners), low[k])
        assert np.array_equal(mine.mask, theirs[0][0])
        assert np.array_equal(mine.low_res, theirs[2][0])
        assert mine.predicted_iou == theirs[1][0]


def test_a_session_that_is_not_local_hands_the_logits_on_as_sam_wants_them():
    session = ClickSession(pocket(), embedded(), local=False)
    previous = None
    for k in range(1, 4):
        mine = session.add(CLICKS[k - 1])
        alone = predict(pocket(), embedded(), Prompt(CLICKS[:k]), previous)
        assert np.array_equal(mine.mask, alone.mask)
        previous = alone.low_res


def test_one_click_finds_a_disc():
    session = ClickSession(pocket(), embedded())
    mask = session.add(Click(60, 100)).mask
    assert (mask & truth(1)).sum() / (mask | truth(1)).sum() > 0.8


def test_undo_and_redo_bring_back_the_very_same_masks():
    session = ClickSession(pocket(), embedded())
    seen = [session.step, *(session.add(c) and session.step for c in CLICKS)]
    session.model = None  # type: ignore[assignment]
    for step in reversed(seen[:-1]):
        assert session.undo() is step
    assert not session.can_undo
    assert session.undo() is seen[0]
    for step in seen[1:]:
        assert session.redo() is step
    assert not session.can_redo


def test_a_new_click_after_undo_forgets_what_was_undone():
    session = ClickSession(pocket(), embedded())
    session.add(CLICKS[0])
    session.add(CLICKS[1])
    session.undo()
    session.add(CLICKS[2])
    assert not session.can_redo
    assert session.step.prompt.clicks == (CLICKS[0], CLICKS[2])


def test_refresh_asks_again_from_the_state_before():
    session = ClickSession(pocket(), embedded())
    for click in CLICKS:
        session.add(click)
    before = session.step
    session.refresh()
    assert np.array_equal(before.prediction.mask, session.step.prediction.mask)
    assert len(session.steps) == 3


def test_the_first_click_takes_no_mask_of_nearly_everything_and_none_beside_it():
    masks = np.zeros((3, 10, 10), bool)
    masks[0] = True
    masks[1, 2:5, 2:5] = True
    masks[2, 7:, 7:] = True
    scores = np.array([0.99, 0.7, 0.9])
    assert choose(masks, scores, Click(3, 3)) == 1
    masks[1] = False
    assert choose(masks, scores, Click(3, 3)) == 0


def test_a_box_without_area_and_an_empty_prompt_are_refused():
    with pytest.raises(UserError, match="no area"):
        Box(3, 3, 3, 9)
    with pytest.raises(UserError, match="click on an object"):
        predict(pocket(), embedded(), Prompt())


def test_a_correction_changes_the_mask_only_near_its_click():
    old, new = np.zeros(SHAPE, bool), np.ones(SHAPE, bool)
    old[40:80, 40:80] = True
    result = local_change(old, new, Click(60, 85))
    changed = np.argwhere(result != old)
    assert result[60, 85]
    assert np.hypot(*(changed - (60, 85)).T).max() <= 2.5 * 6
    assert (result & old).sum() == old.sum()


def test_a_correction_takes_effect_even_where_the_model_disagrees():
    old = np.zeros(SHAPE, bool)
    old[40:80, 40:80] = True
    removed = local_change(old, old, Click(60, 72, positive=False))
    assert not removed[60, 72]
    assert removed[60, 60]
    added = local_change(old, old, Click(60, 90))
    assert added[60, 81:91].all()


def test_a_click_that_agrees_with_the_mask_changes_nothing():
    old = np.zeros(SHAPE, bool)
    old[40:80, 40:80] = True
    assert local_change(old, ~old, Click(60, 60)) is old


def test_a_click_outside_of_the_image_does_not_fail():
    old = np.ones(SHAPE, bool)
    assert not local_change(old, ~old, Click(-5, 999, positive=False)).any()


def test_the_next_logits_agree_with_the_mask_on_show():
    session = ClickSession(pocket(), embedded())
    for click in CLICKS:
        shown = session.add(click)
    wanted = logits_of(shown.mask, pocket(), embedded()) > 0
    assert np.array_equal(shown.low_res > 0, wanted)


def test_an_existing_mask_can_be_refined():
    wrong = truth(0) & (np.arange(SHAPE[1]) < 45)
    session = ClickSession(pocket(), embedded(), start=wrong)
    assert np.array_equal(session.step.prediction.mask, wrong)
    better = session.add(Click(40, 50)).mask
    assert (better & truth(0)).sum() > wrong.sum()
    session.undo()
    assert np.array_equal(session.step.prediction.mask, wrong)


def test_logits_of_a_mask_lie_where_the_mask_does():
    logits = logits_of(truth(1), pocket(), embedded())
    again = (
        pocket()
        .sam.postprocess_masks(
            torch.as_tensor(logits)[None, None],
            embedded().input_size,
            embedded().original_size,
        )[0, 0]
        .numpy()
    )
    mask = again > 0
    assert (mask & truth(1)).sum() / (mask | truth(1)).sum() > 0.95
    rows = int(np.ceil(embedded().input_size[0] / 2))
    assert (logits[rows:] < 0).all()
