"""Banks of images that are cut into tiles."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from benchmarks.bank import discs
from napari_samstar.core.amg.bank import PartDone, ProposalBank
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.part_prompts import CORE_MARGIN
from napari_samstar.core.amg.select import records, select
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.micrograph import Micrograph
from napari_samstar.core.progress import run
from tests.core.disc_image import pocket
from tests.core.painted import disc, gray_of
from tests.core.tiny import tiny_model

IMAGE = discs((200, 240))
GRID = AmgConfig(points_per_side=8, pred_iou_thresh=0.3, stability_score_thresh=0.3, tile_scale=2)
CENTRES = AmgConfig(prompts="centres", tile_scale=2)  # tiles of 256 px with pocket
COLUMNS = ("predicted_iou", "stability", "points", "boxes", "crop_boxes")


def prepared(image, model, config):
    bank = ProposalBank(image, model)
    run(bank.prepare(config))
    return bank


@lru_cache
def grid_bank():
    return prepared(IMAGE, tiny_model(), GRID)


def assert_same(one, other):
    for name in COLUMNS:
        ours, theirs = getattr(one, name), getattr(other, name)
        assert ours.dtype == theirs.dtype, name
        np.testing.assert_array_equal(ours, theirs, err_msg=name)


def test_a_part_for_each_tile():
    parts = grid_bank().parts(GRID)
    tiles = grid_bank().tiles(GRID)
    assert len(parts) == len(tiles) == 9
    assert [part.crop_box for part in parts] == [tile.box for tile in tiles]
    assert [part.core for part in parts] == [tile.core for tile in tiles]


def test_each_tile_is_told_when_it_is_done():
    bank = ProposalBank(IMAGE, tiny_model())
    told = [step for step in bank.prepare(GRID) if isinstance(step, PartDone)]
    assert [(step.done, step.total) for step in told] == [(k, 9) for k in range(1, 10)]
    assert [step.part for step in told] == bank.parts(GRID)


def test_grid_prompts_lie_in_the_core_of_their_tile_or_near_it():
    bank = grid_bank()
    margin = CORE_MARGIN / GRID.tile_scale
    near = np.zeros(IMAGE.shape, dtype=bool)
    for table in bank.tables(GRID):
        x0, y0, x1, y1 = table.part.core
        at = table.candidates.points.numpy() + table.part.crop_box[:2]
        assert 0 < table.n_prompts < GRID.points_per_side**2
        assert (at >= (x0 - margin, y0 - margin)).all()
        assert (at <= (x1 + margin, y1 + margin)).all()
        near[at[:, 1].astype(int), at[:, 0].astype(int)] = True
    rows, cols = np.nonzero(near)
    assert min(rows) < 16 < 184 < max(rows)
    assert min(cols) < 16 < 224 < max(cols)


def test_grid_prompts_in_tiles_find_objects_in_every_tile():
    selection = select(grid_bank(), GRID)
    assert {tuple(box) for box in selection.crop_boxes.tolist()} == {
        tile.box for tile in grid_bank().tiles(GRID)
    }
    found = records(grid_bank(), selection)
    assert len(found) == len(selection)
    for record, box in zip(found, selection.boxes.tolist(), strict=True):
        rows, cols = np.nonzero(record["segmentation"])
        assert [cols.min(), rows.min(), cols.max(), rows.max()] == box


def test_the_same_settings_twice_give_the_same_and_the_store_does_not_grow():
    bank = prepared(IMAGE, tiny_model(), GRID)
    first = select(bank, GRID)
    assert bank.joined
    before = len(bank.masks), dict(bank.joined)
    assert list(bank.prepare(GRID)) == []
    again = select(bank, GRID)
    assert_same(first, again)
    np.testing.assert_array_equal(first.ids, again.ids)
    assert (len(bank.masks), bank.joined) == before


def test_an_object_that_no_tile_shows_whole_is_joined():
    rows, cols = np.ogrid[:300, :420]
    truth = ((rows - 150) / 70) ** 2 + ((cols - 210) / 112) ** 2 < 1
    config = AmgConfig(points_per_side=4, tile_scale=2)
    bank = prepared(Micrograph(gray_of([truth])), pocket(), config)
    selection = select(bank, config)
    likest = max(range(len(selection)), key=lambda k: _iou(bank, selection, k, truth))
    assert _iou(bank, selection, likest, truth) > 0.95
    assert int(selection.ids[likest]) in bank.joined.values()
    assert np.abs(selection.boxes[likest] - (99, 81, 321, 219)).max() <= 2


def _iou(bank, selection, k, truth):
    mask = bank.masks.dense(int(selection.ids[k]))
    return (mask & truth).sum() / (mask | truth).sum()


def test_discs_on_a_lattice_are_found_once_each_wherever_the_seams_are():
    shape = (380, 420)
    truth = [disc(shape, row, col, 11) for row in range(25, 370, 47) for col in range(25, 410, 47)]
    bank = prepared(Micrograph(gray_of(truth)), pocket(), CENTRES)
    assert len(bank.tiles(CENTRES)) == 4
    selection = select(bank, CENTRES)
    ious = np.array([[_iou(bank, selection, k, mask) for k in range(len(selection))]
                     for mask in truth])  # fmt: skip
    assert (ious.max(axis=1) > 0.8).all()  # none is missed or cut
    assert len(selection) == len(truth)  # and none is there twice


@pytest.mark.parametrize(
    ("model", "config"),
    [(tiny_model, GRID), (pocket, CENTRES), (pocket, GRID.replace(points_per_side=4))],
)
def test_an_image_that_fits_one_tile_is_decoded_as_one_frame(model, config):
    image, frame = discs((100, 120)), config.replace(tile_scale=0.0)
    tiled, whole = (prepared(image, model(), c) for c in (config, frame))
    assert tiled.parts(config) == whole.parts(frame)
    assert_same(select(tiled, config), select(whole, frame))
    for ours, theirs in zip(
        records(tiled, select(tiled, config)), records(whole, select(whole, frame)), strict=True
    ):
        np.testing.assert_array_equal(ours.pop("segmentation"), theirs.pop("segmentation"))
        assert ours == theirs
    assert not tiled.missing([frame])  # nothing is decoded again


def test_scales_are_kept_side_by_side():
    bank = prepared(IMAGE, tiny_model(), GRID)
    expected = select(bank, GRID)
    finer = GRID.replace(tile_scale=3)
    assert bank.missing([GRID, finer]).crops == len(bank.tiles(finer)) > 9
    run(bank.prepare(finer))
    assert_same(select(bank, GRID), expected)
    fresh = prepared(IMAGE, tiny_model(), finer)
    assert_same(select(bank, finer), select(fresh, finer))


def test_small_regions_are_removed_from_stitched_objects():
    cleaned = select(grid_bank(), GRID.replace(min_mask_region_area=60))
    assert 0 < len(cleaned) <= len(select(grid_bank(), GRID))
    assert min(grid_bank().masks.areas(cleaned.ids.tolist())) > 0
    size = len(grid_bank().masks)
    assert_same(cleaned, select(grid_bank(), GRID.replace(min_mask_region_area=60)))
    assert len(grid_bank().masks) == size


def test_settings_under_which_nothing_is_kept_give_an_empty_selection():
    assert len(select(grid_bank(), GRID.replace(pred_iou_thresh=1.0))) == 0


@pytest.mark.parametrize("scale", [2.0, None])
def test_tiles_together_with_zoom_levels_are_refused(scale):
    with pytest.raises(UserError, match="use crop_n_layers=0 with tiles, or tile_scale=0"):
        AmgConfig(tile_scale=scale, crop_n_layers=1)


@pytest.mark.parametrize("scale", [-1.0, 9.0, "1"])
def test_a_scale_out_of_range_is_refused(scale):
    with pytest.raises(UserError, match="tile_scale must"):
        AmgConfig(tile_scale=scale)


def test_a_scale_that_is_not_chosen_yet_cannot_be_decoded():
    with pytest.raises(ValueError, match="not chosen"):
        grid_bank().parts(GRID.replace(tile_scale=None))


def test_upstream_knows_no_tiles():
    with pytest.raises(UserError, match="use tile_scale=0"):
        GRID.generator_kwargs()
