from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_samstar.core.adaptation import weights
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.prepare import prepare
from napari_samstar.core.interactive.clicks import Click, ClickPrompt
from napari_samstar.core.interactive.predict import predict
from napari_samstar.core.results.recipe import Recipe, make_recipe
from tests.core.disc_image import embedding, image, pocket, small_sam

CLICK = ClickPrompt((Click(60, 100),))


def random_delta(model, kind):
    """Return randomly changed weights."""
    delta = weights.initial_delta(model.backend.decoder_weights(), kind)
    generator = torch.Generator().manual_seed(1)
    for tensor in delta.tensors.values():
        tensor += 0.02 * torch.randn(tensor.shape, generator=generator)
    return delta


@pytest.mark.parametrize("kind", ["decoder", "low-rank"])
def test_initial_weights_change_no_prediction(kind):
    model = weights.adapted(
        pocket(), weights.initial_delta(pocket().backend.decoder_weights(), kind)
    )
    assert model is not pocket()
    mine, original = (predict(m, embedding(), CLICK) for m in (model, pocket()))
    assert np.array_equal(mine.low_res_logits, original.low_res_logits)


@pytest.mark.parametrize("kind", ["decoder", "low-rank"])
@pytest.mark.parametrize("name", ["pocket", "small"])
def test_an_adapted_model_predicts_differently_and_the_original_does_not_change(kind, name):
    model = pocket() if name == "pocket" else small_sam()
    before = predict(model, embedding(name), CLICK).low_res_logits
    other = weights.adapted(model, random_delta(model, kind))
    assert not np.array_equal(predict(other, embedding(name), CLICK).low_res_logits, before)
    assert np.array_equal(predict(model, embedding(name), CLICK).low_res_logits, before)
    assert other.sam.image_encoder is model.sam.image_encoder
    assert other.sam.mask_decoder is not model.sam.mask_decoder


def test_low_rank_pairs_have_few_parameters():
    whole, low = (
        weights.initial_delta(pocket().backend.decoder_weights(), k)
        for k in ("decoder", "low-rank")
    )
    count = [sum(t.numel() for t in x.tensors.values()) for x in (whole, low)]
    assert count[1] < count[0] / 20


@pytest.mark.parametrize("kind", ["decoder", "low-rank"])
def test_a_saved_adapter_is_loaded_bit_for_bit(tmp_path, kind):
    delta = random_delta(pocket(), kind)
    path = weights.save(delta, pocket(), tmp_path / "cells.safetensors", {"objects": "6"})
    again, metadata = weights.load(path, pocket())
    assert again.digest() == delta.digest()
    assert metadata["objects"] == "6"
    assert metadata["base_sha256"] == pocket().sha256
    mine, theirs = (
        predict(weights.adapted(pocket(), x), embedding(), CLICK) for x in (delta, again)
    )
    assert np.array_equal(mine.low_res_logits, theirs.low_res_logits)


def test_a_recipe_stores_the_adapter_and_rejects_a_model_without_it():
    delta = random_delta(pocket(), "low-rank")
    model = weights.adapted(pocket(), delta)
    recipe = make_recipe(prepare(image()[..., 0]), model, AmgConfig())
    assert recipe.adapter == delta.digest()
    again = Recipe.from_dict(recipe.to_dict())
    again.check_model(model)
    with pytest.raises(UserError, match="the model has no adapter"):
        again.check_model(pocket())


def test_an_adapter_of_another_model_is_rejected(tmp_path):
    path = weights.save(random_delta(small_sam(), "low-rank"), small_sam(), tmp_path / "a.st", {})
    with pytest.raises(UserError, match="learned on small"):
        weights.load(path, pocket())


def test_files_that_are_no_adapter_are_rejected(tmp_path):
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
    delta = weights.WeightDelta("decoder", {"iou_token.weight": torch.zeros(3)})
    path = weights.save(delta, pocket(), tmp_path / "shape.safetensors", {})
    with pytest.raises(UserError, match="does not fit"):
        weights.load(path, pocket())


def test_an_unknown_kind_is_rejected():
    with pytest.raises(UserError, match="adapts as"):
        weights.initial_delta(pocket().backend.decoder_weights(), "all")  # type: ignore[arg-type]
