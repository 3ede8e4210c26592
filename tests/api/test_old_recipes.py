"""Recipes that earlier versions wrote still load, and give the same labels."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.bank import discs
from napari_samstar.api.pipeline import Applied, iter_apply
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.loaded import LoadedImage
from napari_samstar.core.image.readers.registry import read_image
from napari_samstar.core.models.encoder import EmbeddingCache
from napari_samstar.core.progress import run
from napari_samstar.core.results.recipe import Recipe
from tests.core.tiny import tiny_model


@pytest.fixture(params=["command_line_1", "panels_1"])
def kept(request, repository):
    """A recipe of version 1, and the labels that this version made from it."""
    folder = repository / "tests" / "recipes"
    labels = read_image(folder / f"{request.param}.tif").array
    return folder / f"{request.param}.samstar.json", labels


def test_a_recipe_of_version_1_gives_the_same_labels(kept):
    path, labels = kept
    recipe = Recipe.load(path)
    recipe.check_model(tiny_model())
    image = LoadedImage(discs((96, 128)).rgb[..., 0], rgb=False, mapping=recipe.mapping)
    found: list[Applied] = []
    steps = iter_apply(recipe, [image], tiny_model(), EmbeddingCache())
    run(steps, lambda step: found.append(step) if isinstance(step, Applied) else None)
    np.testing.assert_array_equal(found[0].labels, labels)
    assert labels.max() > 5
    again = found[0].result.recipe.to_dict()
    assert again["version"] == 3
    for part in ("config", "mapping", "tuning", "pinned", "model_sha256"):
        assert again[part] == recipe.to_dict()[part], part


def test_both_schemas_of_version_1_become_one(kept):
    path, _ = kept
    old, new = json.loads(path.read_text(encoding="utf-8")), Recipe.load(path)
    assert old["version"] == 1
    assert new.config.pred_iou_thresh == old["config"]["pred_iou_thresh"]
    tuning = old["tuning"]
    assert new.tuning.trials == tuning["evaluations"]
    assert new.tuning.rewards == tuning["rewards"]
    assert new.tuning.study["seed"] == tuning.get("plan", tuning)["seed"]
    assert new.tuning.study["trials"] == tuning.get("plan", tuning)["evaluations"]
    assert len(new.pinned) == len(old["rescued"])
    assert Recipe.from_dict(json.loads(json.dumps(new.to_dict()))) == new


def test_a_recipe_of_version_1_without_a_part_is_damaged(kept):
    values = json.loads(kept[0].read_text(encoding="utf-8"))
    del values["config"]
    with pytest.raises(UserError, match="damaged"):
        Recipe.from_dict(values)
