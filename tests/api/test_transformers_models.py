"""SAM 2.1 and SAM-HQ from a folder go through the same pipeline as every other model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import napari_samstar as ss
from benchmarks.bank import discs
from napari_samstar.core.amg.decode import decode_prompts
from napari_samstar.core.image.loaded import LoadedImage
from napari_samstar.core.masks.store import MaskStore
from napari_samstar.core.progress import run
from napari_samstar.core.prompts.base import Prompts
from tests.core.hf_folders import save_tiny

pytest.importorskip(
    "transformers", reason="transformers is not installed: pip install 'napari-samstar[hf]'"
)

ALL = {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "points_per_side": 5,
       "box_nms_thresh": 1.0}  # fmt: skip


@pytest.fixture(scope="module", params=["sam2", "sam_hq"])
def folder(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("hf") / request.param
    save_tiny(request.param, path)
    return path


@pytest.fixture
def image():
    grey = discs((72, 96)).rgb[..., 0]
    return LoadedImage(np.array(grey), False, "YX", (1.0, 1.0), "px", "discs")


@pytest.mark.parametrize(
    "more",
    [{"tile_scale": 0.0}, {"tile_scale": 0.0, "crop_n_layers": 1}, {"tile_scale": 1.0}],
    ids=["whole", "crops", "tiles"],
)
def test_everything_is_segmented(folder, image, more):
    result = ss.segment(image, ss.load_model(folder, "cpu"), **ALL, **more)
    assert result.labels.shape == (72, 96)
    assert result.labels.max() > 0
    assert len(result.selection) > 0


def test_the_candidates_are_the_masks_of_the_model(folder):
    rgb = discs((72, 96)).rgb
    backend = ss.load_model(folder, "cpu").backend
    embedding = backend.encode(rgb)
    prompts = Prompts.single_points(np.array([[20.0, 20.0], [60.0, 50.0]]))
    candidates = run(decode_prompts(backend, embedding, (0, 0, 96, 72), (72, 96), prompts, 64))
    logits, quality = backend.decode(
        embedding, prompts.points, prompts.labels, None, multimask=True
    )
    masks = (backend.upscale(logits, embedding) > 0).flatten(0, 1).numpy()
    store = MaskStore((72, 96))
    for k, mask_id in enumerate(store.extend(candidates.masks)):
        assert np.array_equal(store.dense(mask_id), masks[k])
    assert torch.equal(candidates.predicted_iou, quality.flatten())


def test_a_recipe_repeats_it(folder, image, tmp_path):
    result = ss.segment(image, folder, **ALL, tile_scale=0.0)
    result.save(tmp_path / "out")
    again = ss.apply(tmp_path / "out" / "recipe.samstar.json", image)
    assert np.array_equal(again.labels, result.labels)
    assert again.recipe.model == str(folder)


def test_boxes_are_prompts(folder, image):
    boxes = ((5.0, 5.0, 40.0, 40.0), (50.0, 20.0, 80.0, 60.0))
    model = ss.load_model(folder, "cpu")
    settings = {n: v for n, v in ALL.items() if n != "points_per_side"}
    result = ss.segment(image, model, boxes=boxes, tile_scale=0.0, **settings)
    assert 0 < result.labels.max() <= 2


def test_a_search_finds_settings(folder, image):
    model = ss.load_model(folder, "cpu")
    study = ss.tune(image, model=model, trials=24, points_per_side=5, tile_scale=0.0)
    assert len(study.trials) == 24


def test_other_weights_are_noticed(folder, image):
    result = ss.segment(image, folder, **ALL, tile_scale=0.0)
    other = result.recipe.model_copy(update={"model_sha256": "0" * 64})
    with pytest.raises(ss.UserError, match="weights"):
        ss.apply(other, image)
