from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_samstar.core import adapters
from napari_samstar.core.clicks import Click, Prompt, predict
from napari_samstar.core.config import AmgConfig
from napari_samstar.core.errors import UserError
from napari_samstar.core.images import Mapping, prepare
from napari_samstar.core.recipe import Recipe, make_recipe
from tests.core.clicked import embedded, image, pocket, small_sam

CLICK = Prompt((Click(60, 100),))


def changed(model, kind):
    """Something learned, by chance."""
    learned = adapters.start(model.sam.mask_decoder, kind)
    chance = torch.Generator().manual_seed(1)
    for tensor in learned.tensors.values():
        tensor += 0.02 * torch.randn(tensor.shape, generator=chance)
    return learned


@pytest.mark.parametrize("kind", ["decoder", "low-rank"])
def test_what_starts_changes_nothing(kind):
    model = adapters.adapted(pocket(), adapters.start(pocket().sam.mask_decoder, kind))
    assert model is not pocket()
    mine, original = (predict(m, embedded(), CLICK) for m in (model, pocket()))
    assert np.array_equal(mine.low_res, original.low_res)


@pytest.mark.parametrize("kind", ["decoder", "low-rank"])
@pytest.mark.parametrize("name", ["pocket", "small"])
def test_an_adapted_model_answers_differently_and_leaves_the_original_alone(kind, name):
    model = pocket() if name == "pocket" else small_sam()
    before = predict(model, embedded(name), CLICK).low_res
    other = adapters.adapted(model, changed(model, kind))
    assert not np.array_equal(predict(other, embedded(name), CLICK).low_res, before)
    assert np.array_equal(predict(model, embedded(name), CLICK).low_res, before)
    assert other.sam.image_encoder is model.sam.image_encoder
    assert other.sam.mask_decoder is not model.sam.mask_decoder


def test_low_rank_pairs_are_few():
    whole, low = (adapters.start(pocket().sam.mask_decoder, k) for k in ("decoder", "low-rank"))
    count = [sum(t.numel() for t in x.tensors.values()) for x in (whole, low)]
    assert count[1] < count[0] / 20


@pytest.mark.parametrize("kind", ["decoder", "low-rank"])
def test_a_saved_adapter_comes_back_bit_for_bit(tmp_path, kind):
    learned = changed(pocket(), kind)
    path = adapters.save(learned, pocket(), tmp_path / "cells.safetensors", {"objects": "6"})
    again, about = adapters.load(path, pocket())
    assert again.digest() == learned.digest()
    assert about["objects"] == "6"
    assert about["base_sha256"] == pocket().sha256
    mine, theirs = (
        predict(adapters.adapted(pocket(), x), embedded(), CLICK) for x in (learned, again)
    )
    assert np.array_equal(mine.low_res, theirs.low_res)


def test_a_recipe_names_the_adapter_and_refuses_a_model_without_it():
    learned = changed(pocket(), "low-rank")
    model = adapters.adapted(pocket(), learned)
    recipe = make_recipe(prepare(image()[..., 0]), Mapping(), model, AmgConfig())
    assert recipe.adapter == learned.digest()
    again = Recipe.from_dict(recipe.to_dict())
    again.check_model(model)
    with pytest.raises(UserError, match="the model has no adapter"):
        again.check_model(pocket())


def test_an_adapter_of_another_model_is_refused(tmp_path):
    path = adapters.save(changed(small_sam(), "low-rank"), small_sam(), tmp_path / "a.st", {})
    with pytest.raises(UserError, match="learned on small"):
        adapters.load(path, pocket())


def test_files_that_are_no_adapter_are_refused(tmp_path):
    with pytest.raises(UserError, match="no adapter file"):
        adapters.load(tmp_path / "none.safetensors", pocket())
    noise = tmp_path / "noise.safetensors"
    noise.write_bytes(b"noise")
    with pytest.raises(UserError, match="no readable adapter"):
        adapters.load(noise, pocket())
    weights = tmp_path / "weights.safetensors"
    save_file({"a": torch.zeros(2)}, weights)
    with pytest.raises(UserError, match="is no adapter"):
        adapters.load(weights, pocket())
    learned = adapters.Learned("decoder", {"iou_token.weight": torch.zeros(3)})
    path = adapters.save(learned, pocket(), tmp_path / "shape.safetensors", {})
    with pytest.raises(UserError, match="does not fit"):
        adapters.load(path, pocket())


def test_an_unknown_kind_is_refused():
    with pytest.raises(UserError, match="adapts as"):
        adapters.start(pocket().sam.mask_decoder, "all")  # type: ignore[arg-type]
