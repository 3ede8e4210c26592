from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor

from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.decode import decode_prompts
from napari_samstar.core.amg.select import records, select
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.micrograph import Micrograph
from napari_samstar.core.progress import run
from napari_samstar.core.prompts.base import Prompts
from napari_samstar.core.results.recipe import Recipe
from napari_samstar.core.results.result import segment_bank
from tests.core.disc_image import DISCS, SHAPE, disc, embedding, image, pocket, small_sam

BOXES = tuple(
    (float(col - r - 2), float(row - r - 1), float(col + r + 1), float(row + r + 2))
    for row, col, r in DISCS
)
"""Around the discs: (x0, y0, x1, y1)."""

CONFIG = AmgConfig(
    prompts="boxes",
    boxes=BOXES,
    pred_iou_thresh=0.0,
    stability_score_thresh=0.0,
    box_nms_thresh=1.0,
)
MODELS = {"pocket": pocket, "small": small_sam}


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]()


@pytest.fixture
def predictor(model):
    predictor = SamPredictor(model.sam)
    predictor.set_image(image())
    return predictor


def bank_of(model):
    return ProposalBank(Micrograph(image()), model)


def decoded(model, prompts):
    name = "pocket" if model is pocket() else "small"
    box = (0, 0, SHAPE[1], SHAPE[0])
    return run(decode_prompts(model.backend, embedding(name), box, SHAPE, prompts, 64))


def dense(candidates):
    """Return the masks of candidates, bool (n, H, W)."""
    from napari_samstar.core.masks.store import MaskStore

    store = MaskStore(SHAPE)
    return np.stack([store.dense(i) for i in store.extend(candidates.masks)])


def test_boxes_get_the_answers_of_sam_predictor(model, predictor):
    bank = bank_of(model)
    run(bank.prepare(CONFIG))
    (table,) = bank.tables(CONFIG)
    masks = np.stack([bank.masks.dense(i) for i in table.ids.tolist()])
    boxes = torch.as_tensor(
        predictor.transform.apply_boxes(np.array(BOXES), SHAPE), dtype=torch.float32
    )
    theirs, quality, _ = predictor.predict_torch(None, None, boxes, multimask_output=False)
    np.testing.assert_array_equal(masks, theirs[:, 0].numpy())
    assert torch.equal(table.candidates.predicted_iou, quality[:, 0])
    one_by_one = [predictor.predict(box=np.array(b), multimask_output=False)[0][0] for b in BOXES]
    np.testing.assert_array_equal(masks, np.stack(one_by_one))


def test_points_with_labels_and_boxes_get_the_answers_of_sam_predictor(model, predictor):
    points = np.array([[[row_col[1], row_col[0]], [2.0, 2.0]] for row_col in DISCS], float)
    labels = np.array([[1, 0]] * len(DISCS))
    candidates = decoded(model, Prompts(points, labels, np.array(BOXES)))
    theirs = [
        predictor.predict(xy, of, np.array(box), multimask_output=False)[0][0]
        for xy, of, box in zip(points, labels, BOXES, strict=True)
    ]
    np.testing.assert_array_equal(dense(candidates), np.stack(theirs))


def test_several_points_for_one_object_get_three_masks(model, predictor):
    points = np.array([[[row_col[1], row_col[0]], [2.0, 2.0]] for row_col in DISCS], float)
    labels = np.array([[1, 0]] * len(DISCS))
    candidates = decoded(model, Prompts(points, labels))
    xy = torch.as_tensor(predictor.transform.apply_coords(points, SHAPE))
    theirs, quality, _ = predictor.predict_torch(
        xy, torch.as_tensor(labels, dtype=torch.int), multimask_output=True
    )
    np.testing.assert_array_equal(dense(candidates), theirs.flatten(0, 1).numpy())
    assert torch.equal(candidates.predicted_iou, quality.flatten())


def test_boxes_find_their_objects():
    result = run(segment_bank(bank_of(pocket()), CONFIG))
    assert len(result.selection) == len(DISCS)
    for k in range(len(DISCS)):
        overlap = np.bincount(result.labels[disc(k)])
        assert overlap[1:].max(initial=0) > 0.8 * disc(k).sum()


def test_records_name_the_box_of_each_mask():
    bank = bank_of(pocket())
    run(bank.prepare(CONFIG))
    found = records(bank, select(bank, CONFIG))
    assert sorted(tuple(r["prompt_box"]) for r in found) == sorted(BOXES)
    on_grid = AmgConfig(points_per_side=4, pred_iou_thresh=0.0, stability_score_thresh=0.0)
    run(bank.prepare(on_grid))
    assert not any("prompt_box" in r for r in records(bank, select(bank, on_grid)))


@pytest.mark.parametrize("layers", [0, 1])
def test_crops_are_prompted_with_the_boxes_that_lie_in_them(layers):
    config = CONFIG.replace(crop_n_layers=layers)
    bank = bank_of(pocket())
    run(bank.prepare(config))
    tables = bank.tables(config)
    assert tables[0].n_prompts == len(BOXES)
    assert [t.n_prompts for t in tables[1:]] == [0, 0, 0, 0][: 4 * layers] or layers
    for table in tables:
        x0, y0, x1, y1 = table.candidates.crop_box
        inside = [b for b in BOXES if x0 <= b[0] and b[2] <= x1 and y0 <= b[1] and b[3] <= y1]
        assert table.n_prompts == len(inside) == len(table.ids)
    assert len(select(bank, config)) >= len(BOXES)


def test_a_set_of_boxes_none_of_which_lies_in_a_crop_keeps_nothing_there():
    whole = ((1.0, 1.0, SHAPE[1] - 1.0, SHAPE[0] - 1.0),)
    config = CONFIG.replace(boxes=whole, crop_n_layers=1)
    bank = bank_of(pocket())
    run(bank.prepare(config))
    assert [t.n_prompts for t in bank.tables(config)] == [1, 0, 0, 0, 0]
    assert len(select(bank, config)) <= 1


def test_boxes_are_part_of_a_recipe_and_of_a_configuration():
    result = run(segment_bank(bank_of(pocket()), CONFIG))
    recipe = Recipe.from_dict(json.loads(json.dumps(result.recipe.to_dict())))
    assert recipe.config == CONFIG
    again = run(segment_bank(bank_of(pocket()), recipe.config))
    np.testing.assert_array_equal(again.labels, result.labels)
    assert CONFIG.replace(boxes=BOXES[:2]) != CONFIG
    with pytest.raises(UserError, match="only prompts on a grid"):
        CONFIG.generator_kwargs()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"boxes": ()}, "Give boxes together with prompts='boxes'"),
        ({"prompts": "grid"}, "Give boxes together with prompts='boxes'"),
        ({"boxes": ((5.0, 5.0, 5.0, 9.0),)}, "x0 < x1"),
        ({"boxes": ((0.0, 0.0, float("nan"), 9.0),)}, "finite"),
        ({"boxes": ((1.0, 2.0, 3.0),)}, "rows of four"),
    ],
)
def test_wrong_boxes_get_one_sentence(changes, says):
    with pytest.raises(UserError, match=says):
        CONFIG.replace(**changes)


def test_a_box_outside_of_the_image_gets_one_sentence():
    config = CONFIG.replace(boxes=((10.0, 10.0, 300.0, 40.0),))
    with pytest.raises(UserError, match="does not lie in the image of 120 x 200"):
        run(bank_of(pocket()).prepare(config))


def test_prompts_of_a_wrong_shape_are_refused():
    with pytest.raises(ValueError, match="points, boxes or both"):
        Prompts()
    with pytest.raises(ValueError, match=r"shape \(n, k, 2\)"):
        Prompts(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="labels must have shape"):
        Prompts(np.zeros((3, 1, 2)), np.ones((3, 2)))
    with pytest.raises(ValueError, match="as many boxes"):
        Prompts(np.zeros((3, 1, 2)), boxes=np.zeros((2, 4)))
