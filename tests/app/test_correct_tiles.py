"""Correction of small objects in an image that is cut into tiles, with the bundled model."""

from __future__ import annotations

import numpy as np
import pytest

from napari_samstar.app.correcting import CorrectionController
from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.select import select
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.micrograph import Micrograph
from napari_samstar.core.interactive.clicks import BoxPrompt, Click
from napari_samstar.core.interactive.next_click import iou
from napari_samstar.core.interactive.placed_mask import PlacedMask
from napari_samstar.core.interactive.unfinished import UnfinishedObject
from napari_samstar.core.models.encoder import EmbeddingCache
from napari_samstar.core.models.loading import load
from napari_samstar.core.progress import run
from napari_samstar.core.results.result import Result

SIDE, RADIUS = 1200, 11
CENTRES = ((90, 100), (600, 655), (1120, 1130), (300, 900))
BAR = (slice(560, 590), slice(100, 1100))
"""An object wider than a tile."""


def truth(centre: tuple[int, int]) -> np.ndarray:
    rows, cols = np.ogrid[:SIDE, :SIDE]
    return (rows - centre[0]) ** 2 + (cols - centre[1]) ** 2 <= RADIUS**2


@pytest.fixture(scope="module")
def image() -> Micrograph:
    rng = np.random.default_rng(0)
    gray = np.full((SIDE, SIDE), 60.0)
    for centre in CENTRES:
        gray[truth(centre)] = 190
    gray[BAR] = 190
    gray = np.clip(gray + rng.normal(0, 8, gray.shape), 0, 255).astype(np.uint8)
    return Micrograph(np.repeat(gray[..., None], 3, axis=2))


def controller(
    image: Micrograph,
    tile_scale: float,
    shown: str = "original",
    cache: EmbeddingCache | None = None,
) -> CorrectionController:
    """Return a controller of a result of which one part is decoded, with few prompts."""
    config = AmgConfig(tile_scale=tile_scale, points_per_side=4, shown=shown)
    bank = ProposalBank(image, load("pocket", "cpu"), cache)
    part = bank.parts(config)[0]
    bank.add(part, run(bank.decode(part)))
    made = CorrectionController()
    made.open(Result(bank, select(bank, config, partial=True)))
    return made


@pytest.fixture
def tiled(image: Micrograph) -> CorrectionController:
    return controller(image, 1.0)


@pytest.fixture(scope="module")
def cache() -> EmbeddingCache:
    return EmbeddingCache()


def whole_mask(correction: CorrectionController) -> np.ndarray:
    placed = correction.placed
    assert placed is not None
    return placed.within((0, 0, SIDE, SIDE)).mask


@pytest.mark.parametrize("centre", CENTRES)
def test_a_click_finds_a_small_object_in_a_window_around_it(tiled, cache, centre):
    assert tiled.apply(tiled.compute_click(cache, Click(*centre)))
    assert iou(whole_mask(tiled), truth(centre)) > 0.8
    assert tiled.mask.shape == (512, 512)
    assert tiled.clicks == (Click(*centre),)
    assert tiled.accepted.mask.size < 512**2 / 50
    assert not tiled.is_cut


@pytest.mark.parametrize("tile_scale", [0.0, 1.0])
def test_clicks_work_on_the_image_itself_whatever_sam_was_shown(image, tile_scale):
    expected = controller(image, tile_scale)
    expected.apply(expected.compute_click(EmbeddingCache(), Click(*CENTRES[0])))
    shared = EmbeddingCache()
    correction = controller(image, tile_scale, shown="inverted", cache=shared)
    assert correction.result.config.shown == "inverted"
    correction.apply(correction.compute_click(shared, Click(*CENTRES[0])))
    np.testing.assert_array_equal(correction.mask, expected.mask)


def test_the_whole_image_as_one_frame_is_seen_as_before(image, cache):
    correction = controller(image, 0.0)
    correction.apply(correction.compute_click(cache, Click(*CENTRES[1])))
    assert correction.window.is_whole
    assert correction.mask.shape == (SIDE, SIDE)
    assert correction.placed.mask is correction.mask
    accepted = correction.accepted.within((0, 0, SIDE, SIDE)).mask
    assert iou(accepted, correction.mask) > 0.99
    assert not correction.draws_parts


def test_later_clicks_stay_in_the_window_and_those_outside_are_refused(tiled, cache):
    row, col = CENTRES[1]
    tiled.apply(tiled.compute_click(cache, Click(row, col)))
    window = tiled.window
    assert tiled.apply(tiled.compute_click(cache, Click(row - 60, col + 60, False)))
    assert tiled.window == window
    assert tiled.clicks[-1] == Click(row - 60, col + 60, False)
    with pytest.raises(UserError, match="accept or skip the object first"):
        tiled.compute_click(cache, Click(5, 5))
    assert len(tiled.clicks) == 2
    tiled.discard()
    tiled.apply(tiled.compute_click(cache, Click(*CENTRES[0])))
    assert tiled.window != window


def test_an_object_larger_than_the_window_is_called_cut_until_a_box_holds_all_of_it(tiled, cache):
    for col in (600, 450, 750, 370, 830):
        tiled.apply(tiled.compute_click(cache, Click(575, col)))
    assert tiled.mask.shape == (512, 512)
    assert tiled.is_cut
    tiled.discard()
    tiled.apply(tiled.compute_box(cache, BoxPrompt(545, 90, 605, 1110)))
    assert max(tiled.window.shape) == SIDE
    assert not tiled.is_cut
    expected = np.zeros((SIDE, SIDE), dtype=bool)
    expected[BAR] = True
    assert iou(whole_mask(tiled), expected) > 0.7


def test_a_mask_to_refine_chooses_a_window_that_holds_it(tiled, cache):
    start = PlacedMask(truth(CENTRES[3]))
    session = tiled.compute_start(cache, lambda: start)
    tiled.start(session, 7)
    np.testing.assert_array_equal(whole_mask(tiled), start.mask)
    assert tiled.mask.shape == (512, 512)
    tiled.apply(tiled.compute_click(cache, Click(CENTRES[3][0], CENTRES[3][1] + RADIUS + 4)))
    assert whole_mask(tiled)[CENTRES[3][0], CENTRES[3][1] + RADIUS + 4]
    assert iou(tiled.start_mask.within((0, 0, SIDE, SIDE)).mask, start.mask) == 1
    wide = np.zeros((SIDE, SIDE), dtype=bool)
    wide[BAR] = True
    assert max(tiled.compute_start(cache, lambda: PlacedMask(wide)).window.shape) == SIDE
    assert tiled.compute_start(cache, lambda: None) is None


def test_what_is_left_of_an_object_is_accepted_only_if_it_is_worth_it(tiled, cache):
    start = PlacedMask(np.ones((60, 60), dtype=bool), 270, 870)
    tiled.start(tiled.compute_start(cache, lambda: start), 7)
    assert tiled.start_mask.extent == (270, 870, 330, 930)
    assert tiled.accepted.extent == (270, 870, 330, 930)
    # What right clicks leave of an object that is none
    tiled.apply(tiled.compute_click(cache, Click(300, 900, False)))
    state = tiled.state
    state.prediction.mask[:] = False
    state.prediction.mask[0:3, 0:3] = True
    assert tiled.accepted is None


def test_objects_of_different_windows_are_learned_together(tiled, cache):
    for centre in CENTRES[:3]:
        tiled.apply(tiled.compute_click(cache, Click(*centre)))
        example = tiled.accepted_example()
        assert example.mask.shape == example.embedding.original_size == (512, 512)
        tiled.discard()
        tiled.record_update(*tiled.learn_object(example))
    adaptation = tiled.adaptation
    assert len(adaptation.examples) + adaptation.n_rolled_back == 3
    start = PlacedMask(truth(CENTRES[3]))
    tiled.start(tiled.compute_start(cache, lambda: start), 1)
    example = tiled.accepted_example()
    assert example.states == ()
    tiled.learn_object(example)
    assert adaptation.n_objects + adaptation.n_rolled_back == 4


def test_an_unfinished_object_comes_back_with_its_window(tiled, cache, image):
    row, col = CENTRES[1]
    for click in (Click(row, col), Click(row + 40, col - 30, False), Click(row + 14, col)):
        tiled.apply(tiled.compute_click(cache, click))
    saved = UnfinishedObject.from_states(tiled.states, tiled.window)
    assert saved.prompts[0][0] == ((row, col, True),)
    again = controller(image, 1.0)
    again.start(again.compute_replay(cache, saved, None))
    assert again.window == tiled.window
    assert again.clicks == tiled.clicks
    np.testing.assert_array_equal(again.mask, tiled.mask)
    again.undo()
    assert len(again.clicks) == 2
    assert again.compute_replay(cache, saved, lambda: None) is None


def test_the_mask_is_computed_again_after_the_decoder_changed(tiled, cache):
    row, col = CENTRES[1]
    tiled.apply(tiled.compute_click(cache, Click(row, col)))
    before = tiled.mask
    assert tiled.apply_recomputed(tiled.compute_again())
    np.testing.assert_array_equal(tiled.mask, before)
