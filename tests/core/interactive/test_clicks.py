from __future__ import annotations

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor

from napari_samstar.core.adaptation import weights
from napari_samstar.core.errors import UserError
from napari_samstar.core.interactive.click_session import ClickSession, logits_of
from napari_samstar.core.interactive.clicks import BoxPrompt, Click, ClickPrompt
from napari_samstar.core.interactive.next_click import iou
from napari_samstar.core.interactive.predict import choose, predict
from napari_samstar.core.interactive.simulated_user import simulate
from napari_samstar.core.models.encoder import encode
from tests.core.clicked import SHAPE, embedded, image, pocket, small_sam, truth

CLICKS = (Click(40, 40), Click(20, 60, positive=False), Click(50, 44))


@pytest.mark.parametrize("name", ["pocket", "small"])
def test_masks_equal_sam_predictors_bit_for_bit(name):
    model = pocket() if name == "pocket" else small_sam()
    upstream = SamPredictor(model.sam)
    upstream.set_image(image())
    masks, scores, low = upstream.predict(np.array([[40, 40]]), np.array([1]))
    k = choose(masks, scores, CLICKS[0])
    mine = predict(model, embedded(name), ClickPrompt(CLICKS[:1]))
    assert np.array_equal(mine.mask, masks[k])
    assert np.array_equal(mine.low_res, low[k])
    assert mine.predicted_iou == scores[k]
    box = BoxPrompt(22, 20, 58, 61)
    for clicks, corners in ((CLICKS, None), ((), box), (CLICKS, box)):
        theirs = upstream.predict(
            np.array([(c.col, c.row) for c in clicks]) if clicks else None,
            np.array([int(c.positive) for c in clicks]) if clicks else None,
            box=None if corners is None else np.array([20, 22, 61, 58]),
            mask_input=low[k][None],
            multimask_output=False,
        )
        mine = predict(model, embedded(name), ClickPrompt(clicks, corners), low[k])
        assert np.array_equal(mine.mask, theirs[0][0])
        assert np.array_equal(mine.low_res, theirs[2][0])
        assert mine.predicted_iou == theirs[1][0]


def test_a_session_that_is_not_fitted_hands_the_logits_on_as_sam_wants_them():
    session = ClickSession(pocket(), embedded(), fitted=False)
    previous = None
    for k in range(1, 4):
        mine = session.add(CLICKS[k - 1])
        alone = predict(pocket(), embedded(), ClickPrompt(CLICKS[:k]), previous)
        assert np.array_equal(mine.mask, alone.mask)
        previous = alone.low_res


def test_one_click_finds_a_disc():
    session = ClickSession(pocket(), embedded())
    mask = session.add(Click(60, 100)).mask
    assert (mask & truth(1)).sum() / (mask | truth(1)).sum() > 0.8


def test_undo_and_redo_bring_back_the_very_same_masks():
    session = ClickSession(pocket(), embedded())
    seen = [session.state, *(session.add(c) and session.state for c in CLICKS)]
    session.model = None  # type: ignore[assignment]
    for state in reversed(seen[:-1]):
        assert session.undo() is state
    assert not session.can_undo
    assert session.undo() is seen[0]
    for state in seen[1:]:
        assert session.redo() is state
    assert not session.can_redo


def test_a_new_click_after_undo_forgets_what_was_undone():
    session = ClickSession(pocket(), embedded())
    session.add(CLICKS[0])
    session.add(CLICKS[1])
    session.undo()
    session.add(CLICKS[2])
    assert not session.can_redo
    assert session.state.prompt.clicks == (CLICKS[0], CLICKS[2])


def test_refresh_asks_again_from_the_state_before():
    session = ClickSession(pocket(), embedded())
    for click in CLICKS:
        session.add(click)
    before = session.state
    session.refresh()
    assert np.array_equal(before.prediction.mask, session.state.prediction.mask)
    assert len(session.states) == 3


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
        BoxPrompt(3, 3, 3, 9)
    with pytest.raises(UserError, match="click on an object"):
        predict(pocket(), embedded(), ClickPrompt())


def test_a_correction_takes_effect_even_where_the_model_disagrees():
    session = ClickSession(pocket(), embedded())
    first = session.add(CLICKS[0]).mask
    corner = Click(44, 52) if first[44, 52] else Click(44, 46)
    removed = session.add(Click(corner.row, corner.col, positive=False)).mask
    assert not removed[int(corner.row), int(corner.col)]
    added = session.add(Click(75, 60)).mask
    assert added[75, 60]
    assert not added[int(corner.row), int(corner.col)]


def test_a_click_that_agrees_with_the_mask_changes_nothing():
    session = ClickSession(pocket(), embedded())
    shown = session.add(Click(60, 100))
    assert session.add(Click(62, 102)) is shown
    assert len(session.state.memory.constraints) == 2


def test_a_click_outside_of_the_image_does_not_fail():
    session = ClickSession(pocket(), embedded(), start=np.ones(SHAPE, bool))
    assert not session.add(Click(-5, 999, positive=False)).mask[0, -1]


def test_a_correction_takes_the_answer_that_agrees_with_all_clicks():
    """The mask on show is one disc; a click into the next one asks for both."""
    session = ClickSession(pocket(), embedded(), start=truth(0))
    mask = session.add(Click(60, 100)).mask
    assert mask[60, 100]
    assert iou(mask & (np.arange(SHAPE[1]) < 70), truth(0)) > 0.7
    gone = session.add(Click(40, 40, positive=False)).mask
    assert not gone[40, 40]


def test_simulated_corrections_end_near_the_truth():
    odd = truth(0) & ~truth(0)
    odd[30:90, 30:64] = True  # no object at all: the model has no such answer
    session = ClickSession(pocket(), embedded())
    values = list(simulate(session, odd, 12, 0.85))
    assert max(values) >= 0.85


def test_two_models_compete_and_the_better_one_answers():
    clicks = [Click(60, 100), Click(60, 70)]
    alone = ClickSession(pocket(), embedded())
    spoilt = weights.start(pocket().backend.decoder_weights())
    for tensor in spoilt.tensors.values():
        tensor += 0.3 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(0))
    bad = weights.adapted(pocket(), spoilt)
    both = ClickSession(pocket(), embedded(), beside=bad)
    for click in clicks:
        alone.add(click)
        both.add(click)
    assert len(both.state.memory.candidates) > len(alone.state.memory.candidates)
    assert iou(both.state.prediction.mask, alone.state.prediction.mask) > 0.7


def test_a_large_image_is_corrected_in_its_own_pixels():
    big = np.kron(image()[..., 0], np.ones((11, 11), np.uint8))[..., None].repeat(3, 2)
    session = ClickSession(pocket(), encode(pocket(), big))
    session.add(Click(660, 1100))
    session.add(Click(660, 1000))
    shown = session.state.prediction.mask
    assert shown.shape == big.shape[:2]
    assert shown[660, 1000]
    assert shown[660, 1100]


def test_the_next_mask_prompt_says_what_is_on_show():
    session = ClickSession(pocket(), embedded())
    for click in CLICKS:
        shown = session.state.prediction
        session.add(click)
    wanted = logits_of(shown.mask, pocket(), embedded())
    assert np.array_equal(session.state.previous, wanted)


def test_an_existing_mask_can_be_refined():
    wrong = truth(0) & (np.arange(SHAPE[1]) < 45)
    session = ClickSession(pocket(), embedded(), start=wrong)
    assert np.array_equal(session.state.prediction.mask, wrong)
    better = session.add(Click(40, 50)).mask
    assert (better & truth(0)).sum() > wrong.sum()
    session.undo()
    assert np.array_equal(session.state.prediction.mask, wrong)


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
