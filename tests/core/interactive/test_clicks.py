from __future__ import annotations

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor

from napari_samstar.core.adaptation import weights
from napari_samstar.core.errors import UserError
from napari_samstar.core.interactive.click_session import ClickSession, mask_to_logits
from napari_samstar.core.interactive.clicks import BoxPrompt, Click, ClickPrompt
from napari_samstar.core.interactive.next_click import iou
from napari_samstar.core.interactive.predict import choose_mask, predict
from napari_samstar.core.interactive.simulated_user import simulate
from napari_samstar.core.models.encoder import encode
from tests.core.disc_image import SHAPE, disc, embedding, image, pocket, small_sam

CLICKS = (Click(40, 40), Click(20, 60, positive=False), Click(50, 44))


@pytest.mark.parametrize("name", ["pocket", "small"])
def test_masks_equal_those_of_sam_predictor_bit_for_bit(name):
    model = pocket() if name == "pocket" else small_sam()
    upstream = SamPredictor(model.sam)
    upstream.set_image(image())
    masks, scores, low = upstream.predict(np.array([[40, 40]]), np.array([1]))
    k = choose_mask(masks, scores, CLICKS[0])
    mine = predict(model, embedding(name), ClickPrompt(CLICKS[:1]))
    assert np.array_equal(mine.mask, masks[k])
    assert np.array_equal(mine.low_res_logits, low[k])
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
        mine = predict(model, embedding(name), ClickPrompt(clicks, corners), low[k])
        assert np.array_equal(mine.mask, theirs[0][0])
        assert np.array_equal(mine.low_res_logits, theirs[2][0])
        assert mine.predicted_iou == theirs[1][0]


def test_without_contour_fit_the_previous_logits_are_the_mask_prompt():
    session = ClickSession(pocket(), embedding(), fit_contour=False)
    previous = None
    for k in range(1, 4):
        mine = session.add(CLICKS[k - 1])
        alone = predict(pocket(), embedding(), ClickPrompt(CLICKS[:k]), previous)
        assert np.array_equal(mine.mask, alone.mask)
        previous = alone.low_res_logits


def test_one_click_segments_a_disc():
    session = ClickSession(pocket(), embedding())
    mask = session.add(Click(60, 100)).mask
    assert (mask & disc(1)).sum() / (mask | disc(1)).sum() > 0.8


def test_undo_and_redo_restore_states_without_the_model():
    session = ClickSession(pocket(), embedding())
    seen = [session.state, *(session.add(c) and session.state for c in CLICKS)]
    session.model = None  # type: ignore[assignment]
    for state in reversed(seen[:-1]):
        assert session.undo() is state
    assert not session.can_undo
    assert session.undo() is seen[0]
    for state in seen[1:]:
        assert session.redo() is state
    assert not session.can_redo


def test_a_new_click_after_undo_clears_redo():
    session = ClickSession(pocket(), embedding())
    session.add(CLICKS[0])
    session.add(CLICKS[1])
    session.undo()
    session.add(CLICKS[2])
    assert not session.can_redo
    assert session.state.prompt.clicks == (CLICKS[0], CLICKS[2])


def test_refresh_recomputes_the_last_state_only():
    session = ClickSession(pocket(), embedding())
    for click in CLICKS:
        session.add(click)
    before = session.state
    session.refresh()
    assert np.array_equal(before.prediction.mask, session.state.prediction.mask)
    assert len(session.states) == 3


def test_choose_mask_prefers_masks_that_contain_the_click_and_are_not_too_large():
    masks = np.zeros((3, 10, 10), bool)
    masks[0] = True
    masks[1, 2:5, 2:5] = True
    masks[2, 7:, 7:] = True
    scores = np.array([0.99, 0.7, 0.9])
    assert choose_mask(masks, scores, Click(3, 3)) == 1
    masks[1] = False
    assert choose_mask(masks, scores, Click(3, 3)) == 0


def test_a_box_without_area_and_an_empty_prompt_raise():
    with pytest.raises(UserError, match="no area"):
        BoxPrompt(3, 3, 3, 9)
    with pytest.raises(UserError, match="click on an object"):
        predict(pocket(), embedding(), ClickPrompt())


def test_a_corrected_pixel_is_as_clicked_even_if_the_model_disagrees():
    session = ClickSession(pocket(), embedding())
    first = session.add(CLICKS[0]).mask
    corner = Click(44, 52) if first[44, 52] else Click(44, 46)
    removed = session.add(Click(corner.row, corner.col, positive=False)).mask
    assert not removed[int(corner.row), int(corner.col)]
    added = session.add(Click(75, 60)).mask
    assert added[75, 60]
    assert not added[int(corner.row), int(corner.col)]


def test_a_click_that_agrees_with_the_mask_changes_nothing():
    session = ClickSession(pocket(), embedding())
    shown = session.add(Click(60, 100))
    assert session.add(Click(62, 102)) is shown
    assert len(session.state.context.constraints) == 2


def test_a_click_outside_the_image_counts_for_the_nearest_pixel():
    session = ClickSession(pocket(), embedding(), start=np.ones(SHAPE, bool))
    assert not session.add(Click(-5, 999, positive=False)).mask[0, -1]


def test_a_correction_chooses_the_candidate_that_agrees_with_all_clicks():
    """The current mask is one disc; a click into the next one means both."""
    session = ClickSession(pocket(), embedding(), start=disc(0))
    mask = session.add(Click(60, 100)).mask
    assert mask[60, 100]
    assert iou(mask & (np.arange(SHAPE[1]) < 70), disc(0)) > 0.7
    gone = session.add(Click(40, 40, positive=False)).mask
    assert not gone[40, 40]


def test_corrections_reach_a_shape_that_the_model_never_predicts():
    odd = np.zeros(SHAPE, bool)
    odd[30:90, 30:64] = True  # no object of the image
    session = ClickSession(pocket(), embedding())
    values = list(simulate(session, odd, 12, 0.85))
    assert max(values) >= 0.85


def test_a_bad_competitor_does_not_spoil_corrections():
    clicks = [Click(60, 100), Click(60, 70)]
    alone = ClickSession(pocket(), embedding())
    spoilt = weights.initial_delta(pocket().backend.decoder_weights())
    for tensor in spoilt.tensors.values():
        tensor += 0.3 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(0))
    bad = weights.adapted(pocket(), spoilt)
    both = ClickSession(pocket(), embedding(), competitor=bad)
    for click in clicks:
        alone.add(click)
        both.add(click)
    assert len(both.state.context.candidates) > len(alone.state.context.candidates)
    assert iou(both.state.prediction.mask, alone.state.prediction.mask) > 0.7


def test_masks_of_large_images_have_full_resolution():
    big = np.kron(image()[..., 0], np.ones((11, 11), np.uint8))[..., None].repeat(3, 2)
    session = ClickSession(pocket(), encode(pocket(), big))
    session.add(Click(660, 1100))
    session.add(Click(660, 1000))
    shown = session.state.prediction.mask
    assert shown.shape == big.shape[:2]
    assert shown[660, 1000]
    assert shown[660, 1100]


def test_the_mask_prompt_of_a_correction_is_the_current_mask():
    session = ClickSession(pocket(), embedding())
    for click in CLICKS:
        shown = session.state.prediction
        session.add(click)
    wanted = mask_to_logits(shown.mask, pocket(), embedding())
    assert np.array_equal(session.state.mask_prompt, wanted)


def test_an_existing_mask_is_refined():
    wrong = disc(0) & (np.arange(SHAPE[1]) < 45)
    session = ClickSession(pocket(), embedding(), start=wrong)
    assert np.array_equal(session.state.prediction.mask, wrong)
    better = session.add(Click(40, 50)).mask
    assert (better & disc(0)).sum() > wrong.sum()
    session.undo()
    assert np.array_equal(session.state.prediction.mask, wrong)


def test_mask_to_logits_keeps_the_position_of_the_mask():
    logits = mask_to_logits(disc(1), pocket(), embedding())
    again = (
        pocket()
        .sam.postprocess_masks(
            torch.as_tensor(logits)[None, None],
            embedding().input_size,
            embedding().original_size,
        )[0, 0]
        .numpy()
    )
    mask = again > 0
    assert (mask & disc(1)).sum() / (mask | disc(1)).sum() > 0.95
    rows = int(np.ceil(embedding().input_size[0] / 2))
    assert (logits[rows:] < 0).all()
