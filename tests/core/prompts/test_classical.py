"""The boxes and masks of a classical segmentation as prompts and candidates."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch
from scipy import ndimage as ndi
from torchvision.ops import box_iou

from napari_samstar.core.amg.answers import answered
from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.batch import rungs_around
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.explain import explain, rejections_of
from napari_samstar.core.amg.given_quality import separation
from napari_samstar.core.amg.ladder import N_OFFSETS
from napari_samstar.core.amg.select import records, select
from napari_samstar.core.amg.tile_store import pack, unpack
from napari_samstar.core.image.micrograph import Micrograph
from napari_samstar.core.image.region import Region
from napari_samstar.core.progress import run
from napari_samstar.core.prompts.base import GivenMasks, Prompts, Proposals
from napari_samstar.core.prompts.classical import MAX_OBJECTS, SAME_BOX, classical_proposals
from napari_samstar.core.results.recipe import Recipe
from napari_samstar.core.results.result import segment_bank
from tests.core.disc_image import DISCS, SHAPE, disc, image, pocket, small_sam

CLASSICAL = AmgConfig(prompts="classical")
COMBINED = AmgConfig(prompts="combined")
ALL = {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "box_nms_thresh": 1.0}


@lru_cache
def bank():
    """The bank of the bundled model, with all that the tests below select from."""
    made = ProposalBank(Micrograph(image()), pocket())
    for config in (CLASSICAL, COMBINED, AmgConfig(prompts="centres")):
        run(made.prepare(config))
    return made


def table_of(config):
    (table,) = bank().tables(config)
    return table


def ious(mask, others):
    return [(mask & other).sum() / (mask | other).sum() for other in others]


def test_each_disc_has_a_box_and_no_two_boxes_are_the_same():
    found = classical_proposals(image())
    (group,) = found.groups
    assert not group.multimask
    assert len(group) <= len(found.given) <= MAX_OBJECTS
    for row, col, radius in DISCS:
        true = np.array([col - radius, row - radius, col + radius + 1, row + radius + 1])
        assert np.abs(group.boxes - true).max(axis=1).min() <= 3
    assert (group.boxes >= 0).all()
    assert (group.boxes[:, 2:] <= SHAPE[::-1]).all()
    overlap = box_iou(torch.from_numpy(group.boxes), torch.from_numpy(group.boxes))
    assert (overlap.fill_diagonal_(0) <= SAME_BOX).all()


def test_combined_has_the_centres_the_boxes_and_the_masks_in_one_table():
    points, boxes, both = (
        table_of(c).candidates for c in (AmgConfig(prompts="centres"), CLASSICAL, COMBINED)
    )
    n = len(points.masks)
    assert both.n_prompts == points.n_prompts + boxes.n_prompts
    assert len(both.masks) == n + len(boxes.masks)
    assert torch.equal(both.predicted_iou[:n], points.predicted_iou)
    assert torch.equal(both.predicted_iou[n:], boxes.predicted_iou)
    assert torch.equal(both.stability[:, :n], points.stability)
    assert torch.equal(both.batch, torch.cat([points.batch, boxes.batch + points.n_batches]))
    assert both.n_batches == points.n_batches + boxes.n_batches == both.batch.max() + 1
    assert np.isnan(both.prompt_boxes[:n]).all()
    assert not both.given[:n].any()
    assert both.given.sum() == boxes.given.sum() > 0
    # Each disc is kept once: its duplicates from all three kinds are removed in one pass.
    assert len(select(bank(), COMBINED)) == len(DISCS)


def test_combined_prompts_on_the_grid_with_a_model_that_sees_no_centres():
    made = ProposalBank(Micrograph(image()), small_sam())
    config = COMBINED.replace(points_per_side=4)
    run(made.prepare(config))
    (table,) = made.tables(config)
    (boxes,) = classical_proposals(image()).groups
    assert table.n_prompts == 16 + len(boxes)
    grid = config.replace(prompts="grid")
    run(made.prepare(grid))
    (plain,) = made.tables(grid)
    assert torch.equal(table.candidates.predicted_iou[:48], plain.candidates.predicted_iou)


def test_given_masks_are_measured_and_told_from_those_of_sam():
    c, ids = table_of(CLASSICAL).candidates, table_of(CLASSICAL).ids
    rows = np.flatnonzero(c.given)
    assert set(ids[rows].tolist()) <= bank().given
    assert not set(ids[~c.given].tolist()) & bank().given
    assert bank().prompt_boxes.keys().isdisjoint(bank().given)
    quality = c.predicted_iou[rows].numpy()
    assert ((quality >= 0) & (quality <= 1)).all()
    stability = c.stability[:, rows].numpy()
    assert (np.diff(stability, axis=0) <= 0).all()
    assert ((stability >= 0) & (stability <= 1)).all()
    masks = [bank().masks.dense(int(i)) for i in ids[rows]]
    for k in range(len(DISCS)):
        best = int(np.argmax(ious(disc(k), masks)))
        assert ious(disc(k), masks)[best] > 0.85
        assert quality[best] > 0.85
    for row, mask in zip(rows, masks, strict=True):
        x0, y0, x1, y1 = c.boxes[row].tolist()
        assert (np.argwhere(mask).min(0) == (y0, x0)).all()
        assert (np.argwhere(mask).max(0) == (y1, x1)).all()
        np.testing.assert_array_equal(c.points[row], [(x0 + x1 + 1) / 2, (y0 + y1 + 1) / 2])


@pytest.mark.parametrize("config", [CLASSICAL, COMBINED], ids=lambda c: c.prompts)
def test_records_say_which_masks_were_given(config):
    every = config.replace(**ALL)
    selection = select(bank(), every)
    found = records(bank(), selection)
    for record, mask_id in zip(found, selection.candidates.tolist(), strict=True):
        assert record.get("given", False) == (mask_id in bank().given)
        assert not ("given" in record and "prompt_box" in record)
        (x, y), (x0, y0, w, h) = record["point_coords"][0], record["bbox"]
        assert not record.get("given") or (x0 <= x <= x0 + w + 1 and y0 <= y <= y0 + h + 1)
    assert any("given" in record for record in found)
    assert any("prompt_box" in record for record in found)


def test_a_given_mask_is_explained_as_such():
    strict = CLASSICAL.replace(pred_iou_thresh=1.0)
    row, col, _ = DISCS[0]
    findings = explain(bank(), CLASSICAL.replace(**ALL), (row, col), most=99)
    assert findings
    assert all(finding.given == (finding.mask_id in bank().given) for finding in findings)
    mask_id = next(i for i in bank().given if bank().masks.dense(i)[row, col]
                   and i in table_of(CLASSICAL).ids)  # fmt: skip
    (first, *_) = rejections_of(bank(), strict, mask_id)
    assert first.given
    assert first.sentence.startswith("Its quality is estimated as ")
    of_sam = next(int(i) for i in table_of(CLASSICAL).ids if int(i) not in bank().given)
    assert rejections_of(bank(), strict, of_sam)[0].sentence.startswith("SAM rates it ")


def test_a_sharp_disc_is_more_stable_than_a_blurred_one_and_than_a_noisy_one():
    def stability(blur, noise):
        grey = np.full(SHAPE, 60.0)
        grey[disc(1)] = 180
        grey = ndi.gaussian_filter(grey, blur) if blur else grey
        grey += np.random.default_rng(0).normal(0, noise, SHAPE)
        rgb = np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, 2)
        given = classical_proposals(rgb).given
        true = np.array([80, 40, 121, 81])  # the box of the disc
        nearest = np.abs(given.boxes - true).max(axis=1).argmin()
        assert np.abs(given.boxes[nearest] - true).max() <= 4
        levels = given.levels[nearest]
        return np.count_nonzero(levels > 1) / np.count_nonzero(levels > -1)

    sharp, blurred, noisy = stability(0, 2), stability(5, 2), stability(0, 40)
    assert sharp > 0.95
    assert blurred < sharp - 0.03
    assert noisy < sharp - 0.03


def test_separation_is_one_where_levels_are_apart_and_nought_where_nothing_is_around():
    apart = np.array([[-5, -5.1], [5, 5.1]], np.float32)
    assert separation(apart) > 0.999
    near = np.random.default_rng(0).normal(0, 1, (40, 40)).astype(np.float32)
    near[:20] += 0.5
    assert 0 < separation(near) < separation(apart)
    assert separation(np.array([[3, -np.inf]], np.float32)) == 0
    assert separation(np.array([[2, -2]], np.float32)) == 1


def test_a_flat_image_has_no_prompts_and_keeps_nothing():
    made = ProposalBank(Micrograph(np.full((80, 90, 3), 9, np.uint8)), pocket())
    run(made.prepare(CLASSICAL))
    assert made.tables(CLASSICAL)[0].n_prompts == 0
    assert len(select(made, CLASSICAL)) == 0


def test_given_masks_outside_of_a_region_do_not_count():
    region = Region(inside=(((0, 0), (0, 70), (SHAPE[0], 70), (SHAPE[0], 0)),))
    made = ProposalBank(Micrograph(image(), region=region), pocket())
    run(made.prepare(COMBINED))
    selection = select(made, COMBINED.replace(**ALL))
    assert (selection.points[:, 1] <= 70).all()
    assert any(i in made.given for i in selection.candidates.tolist())


def test_tiles_propose_the_objects_of_their_core_and_give_each_once():
    big = np.tile(image(), (3, 2, 1))
    config = COMBINED.replace(tile_scale=2)
    made = ProposalBank(Micrograph(big), pocket())
    run(made.prepare(config))
    assert len(made.tables(config)) > 1
    for table in made.tables(config):
        assert table.candidates.given is None or not table.candidates.near_edge.any()
        data = pack(table.candidates)
        again = unpack(data, table.part, torch.device("cpu"))
        np.testing.assert_array_equal(again.given, table.candidates.given)
        np.testing.assert_array_equal(again.prompt_boxes, table.candidates.prompt_boxes)
    selection = select(made, config)
    masks = [made.masks.dense(i) for i in selection.ids.tolist()]
    for k in range(len(DISCS)):
        for down, right in np.ndindex(3, 2):
            true = np.zeros(made.shape, dtype=bool)
            true[down * SHAPE[0] : (down + 1) * SHAPE[0], right * SHAPE[1] :][:, : SHAPE[1]] = disc(
                k
            )
            assert sum(iou > 0.8 for iou in ious(true, masks)) == 1


def test_a_recipe_with_combined_gives_the_same_labels_again():
    result = run(segment_bank(bank(), COMBINED))
    recipe = Recipe.from_dict(result.recipe.to_dict())
    assert recipe.config == COMBINED
    again = run(segment_bank(ProposalBank(Micrograph(image()), pocket()), recipe.config))
    np.testing.assert_array_equal(again.labels, result.labels)
    assert len(np.unique(result.labels)) == 1 + len(DISCS)


def test_a_source_may_give_masks_alone():
    levels = np.full((4, 5), -3, np.float32)
    levels[1:3, 1:4] = 3
    given = GivenMasks((levels,), np.array([[10, 20]]))
    np.testing.assert_array_equal(given.boxes, [[11, 21, 14, 23]])
    assert (rungs_around(0)[:N_OFFSETS] < 0).all()
    one = bank()
    start = table_of(CLASSICAL).candidates.take(torch.zeros(0, dtype=torch.int64))

    def decode(prompts):
        yield 0
        return start

    none = Prompts(boxes=np.zeros((0, 4)))
    found = run(answered(Proposals((none,), given), decode, (0, 0, *SHAPE[::-1]), one.shape, False))
    assert len(found.masks) == 1
    assert found.masks[0].box == (21, 11, 23, 14)
    assert found.stability[:, 0].tolist() == [1.0] * N_OFFSETS
