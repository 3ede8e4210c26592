from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_samstar.core.adaptation import weights
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.mapping import ImageMapping
from napari_samstar.core.image.prepare import prepare
from napari_samstar.core.interactive.clicks import Click, ClickPrompt
from napari_samstar.core.interactive.predict import predict
from napari_samstar.core.results.recipe import Recipe, make_recipe
from tests.core.clicked import embedded, image, pocket, small_sam

CLICK = ClickPrompt((Click(60, 100),))


def changed(model, kind):
    """Something learned, by chance."""
    learned = weights.start(model.backend.decoder_weights(), kind)
    chance = torch.Generator().manual_seed(1)
    for tensor in learned.tensors.values():
        tensor += 0.02 * torch.randn(tensor.shape, generator=chance)
    return learned


@pytest.mark.parametrize("kind", ["decoder", "low-rank"])
def test_what_starts_changes_nothing(kind):
    model = weights.adapted(pocket(), weights.start(pocket().backend.decoder_weights(), kind))
    assert model is not pocket()
    mine, original = (predict(m, embedded(), CLICK) for m in (model, pocket()))
    assert np.array_equal(mine.low_res, original.low_res)


@pytest.mark.parametrize("kind", ["decoder", "low-rank"])
@pytest.mark.parametrize("name", ["pocket", "small"])
def test_an_adapted_model_answers_differently_and_leaves_the_original_alone(kind, name):
    model = pocket() if name == "pocket" else small_sam()
    before = predict(model, embedded(name), CLICK).low_res
    other = weights.adapted(model, changed(model, kind))
    assert not np.array_equal(predict(other, embedded(name), CLICK).low_res, before)
    assert np.array_equal(predict(model, embedded(name), CLICK).low_res, before)
    assert other.sam.image_encoder is model.sam.image_encoder
    assert other.sam.mask_decoder is not model.sam.mask_decoder


def test_low_rank_pairs_are_few():
    whole, low = (
        weights.start(pocket().backend.decoder_weights(), k) for k in ("decoder", "low-rank")
    )
    count = [sum(t.numel() for t in x.tensors.values()) for x in (whole, low)]
    assert count[1] < count[0] / 20


@pytest.mark.parametrize("kind", ["decoder", "low-rank"])
def test_a_saved_adapter_comes_back_bit_for_bit(tmp_path, kind):
    learned = changed(pocket(), kind)
    path = weights.save(learned, pocket(), tmp_path / "cells.safetensors", {"objects": "6"})
    again, about = weights.load(path, pocket())
    assert again.digest() == learned.digest()
    assert about["objects"] == "6"
    assert about["base_sha256"] == pocket().sha256
    mine, theirs = (
        predict(weights.adapted(pocket(), x), embedded(), CLICK) for x in (learned, again)
    )
    assert np.array_equal(mine.low_res, theirs.low_res)


def test_a_recipe_names_the_adapter_and_refuses_a_model_without_it():
    learned = changed(pocket(), "low-rank")
    model = weights.adapted(pocket(), learned)
    recipe = make_recipe(prepare(image()[..., 0]), ImageMapping(), model, AmgConfig())
    assert recipe.adapter == learned.digest()
    again = Recipe.from_dict(recipe.to_dict())
    again.check_model(model)
    with pytest.raises(UserError, match="the model has no adapter"):
        again.check_model(pocket())


def test_an_adapter_of_another_model_is_refused(tmp_path):
    path = weights.save(changed(small_sam(), "low-rank"), small_sam(), tmp_path / "a.st", {})
    with pytest.raises(UserError, match="learned on small"):
        weights.load(path, pocket())


def test_files_that_are_no_adapter_are_refused(tmp_path):
    with pytest.raises(UserError, match="no adapter file"):
        weights.load(tmp_path / "none.safetensors", pocket())
    noise = tmp_path / "noise.safetensors"
    noise.write_bytes(b"noise")
    with pytest.raises(UserError, match="no readable adapter"):
        weights.load(noise, pocket())
    foreign = tmp_path / "weights.safetensors"
    save_file({"a": torch.zeros(2)}, foreign)
    with pytest.raises(UserError, match="is no adapter"):
        weights.load(foreign, pocket())
    learned = weights.WeightDelta("decoder", {"iou_token.weight": torch.zeros(3)})
    path = weights.save(learned, pocket(), tmp_path / "shape.safetensors", {})
    with pytest.raises(UserError, match="does not fit"):
        weights.load(path, pocket())


def test_an_unknown_kind_is_refused():
    with pytest.raises(UserError, match="adapts as"):
        weights.start(pocket().backend.decoder_weights(), "all")  # type: ignore[arg-type]
