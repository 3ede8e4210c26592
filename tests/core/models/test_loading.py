from __future__ import annotations

import dataclasses
import hashlib
import inspect
import pickle
import zipfile
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from segment_anything import SamPredictor, sam_model_registry
from segment_anything.modeling import Sam

from napari_samstar.core.errors import UserError
from napari_samstar.core.models.checkpoints import infer_architecture
from napari_samstar.core.models.loading import load
from napari_samstar.core.models.pocket import build_pocket
from napari_samstar.core.models.registry import REGISTRY
from tests.core.mobile_sam_layout import random_weights

if TYPE_CHECKING:
    from napari_samstar.core.models.backend import LoadedModel


@pytest.fixture(scope="module")
def mobile():
    return random_weights()


@pytest.fixture(scope="module")
def pocket_weights():
    torch.manual_seed(0)
    return build_pocket().state_dict()


@pytest.fixture
def pocket_file(tmp_path, pocket_weights):
    path = tmp_path / "pocket.safetensors"
    halves = {n: v.half() if v.is_floating_point() else v for n, v in pocket_weights.items()}
    save_file({n: v.contiguous() for n, v in halves.items()}, path, metadata={"arch": "pocket"})
    return path


def saved(tmp_path, content, **options):
    path = tmp_path / "weights.pt"
    torch.save(content, path, **options)
    return path


def assert_ready(model: LoadedModel):
    assert isinstance(model.sam, Sam)
    assert not model.sam.training
    tensors = [*model.sam.parameters(), *model.sam.buffers()]
    assert all(t.device == model.device for t in tensors)
    assert all(t.dtype == torch.float32 for t in tensors if t.is_floating_point())
    assert not any(t.requires_grad for t in tensors)


def test_metas_vit_b(tmp_path):
    with torch.device("meta"):
        layout = sam_model_registry["vit_b"]().state_dict()
    generator = torch.Generator().manual_seed(0)
    weights = {n: torch.rand(v.shape, generator=generator) for n, v in layout.items()}
    path = tmp_path / "sam_vit_b_01ec64.pth"
    torch.save(weights, path)
    model = load(path, device="cpu")
    path.unlink()
    assert_ready(model)
    assert (model.name, model.architecture) == ("sam_vit_b_01ec64", "vit_b")
    loaded = model.sam.state_dict()
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[n], weights[n]) for n in weights)
    defaults = inspect.signature(Sam).parameters
    assert model.sam.pixel_mean.flatten().tolist() == pytest.approx(defaults["pixel_mean"].default)
    assert model.sam.pixel_std.flatten().tolist() == pytest.approx(defaults["pixel_std"].default)
    assert model.sam.pixel_mean.shape == model.sam.pixel_std.shape == (3, 1, 1)


@pytest.mark.parametrize("name", ["vit_b", "vit_l", "vit_h"])
def test_the_size_of_a_vit_is_read_from_its_weights(name):
    with torch.device("meta"):
        weights = sam_model_registry[name]().state_dict()
    assert infer_architecture(weights, {}) == name


def test_mobile_sam(tmp_path, mobile):
    path = saved(tmp_path, mobile)
    model = load(path, device="cpu")
    assert_ready(model)
    assert model.architecture == "mobile_sam"
    assert model.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    predictor = SamPredictor(model.sam)
    predictor.set_image(np.zeros((60, 80, 3), np.uint8))
    masks, _, _ = predictor.predict(np.array([[40, 30]]), np.array([1]))
    assert masks.shape == (3, 60, 80)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda w: {"model_state": w, "decoder_state": {"out_conv.weight": torch.zeros(3)}},
        lambda w: {"model_state": {f"sam.{n}": v for n, v in w.items()}, "epoch": 3},
        lambda w: {f"module.sam.{n}": v for n, v in w.items()},
        lambda w: w | {"decoder_state": {"out_conv.weight": torch.zeros(3)}},
        lambda w: w | {"decoder.block.weight": torch.zeros(3)},
        lambda w: {n: v.half() if v.is_floating_point() else v for n, v in w.items()},
    ],
)
def test_the_layouts_that_micro_sam_and_trainers_write(tmp_path, pocket_weights, wrap):
    model = load(saved(tmp_path, wrap(pocket_weights)), device="cpu")
    assert_ready(model)
    assert model.architecture == "pocket"
    loaded = model.sam.state_dict()
    assert all(torch.allclose(loaded[n], v, atol=1e-2) for n, v in pocket_weights.items())


def test_old_torch_files_and_safetensors_of_any_layout(tmp_path, mobile, pocket_weights):
    old = saved(tmp_path, pocket_weights, _use_new_zipfile_serialization=False)
    assert load(old, device="cpu").architecture == "pocket"
    save_file(mobile, tmp_path / "m.safetensors")
    assert load(tmp_path / "m.safetensors", device="cpu").architecture == "mobile_sam"


def test_pocket_halves_become_float32(pocket_file, pocket_weights):
    model = load(str(pocket_file), device="cpu", precision="fast")
    assert_ready(model)
    assert (model.name, model.architecture, model.precision) == ("pocket", "pocket", "fast")
    loaded = model.sam.state_dict()
    for name, value in pocket_weights.items():
        wanted = value.half().float() if value.is_floating_point() else value
        assert torch.equal(loaded[name], wanted)


def test_the_digest_follows_the_file(tmp_path, pocket_weights):
    first = load(saved(tmp_path, pocket_weights), device="cpu")
    changed = dict(pocket_weights)
    name = next(n for n, v in changed.items() if v.is_floating_point() and v.ndim)
    changed[name] = changed[name] + 1
    assert load(saved(tmp_path, changed), device="cpu").sha256 != first.sha256


class Harmful:
    def __reduce__(self):
        return (print, ("code from the file ran",))


def zip_of_text(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "unrelated")


def with_change(change):
    def write(path, weights):
        weights = dict(weights)
        change(weights)
        torch.save(weights, path)

    return write


def save_old(weights, path):
    torch.save(weights, path, _use_new_zipfile_serialization=False)


def cut_in_half(path, weights, save=torch.save):
    save(weights, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def set_nan(weights):
    name = "mask_decoder.iou_token.weight"
    weights[name] = torch.full_like(weights[name], float("nan"))


BAD_FILES = {
    "text": (lambda p, w: p.write_text("some text, long enough"), "is not a checkpoint"),
    "empty": (lambda p, w: p.write_bytes(b""), "is not a checkpoint"),
    "zip": (lambda p, w: zip_of_text(p), "zip archive: unpack it"),
    "truncated": (cut_in_half, "damaged or incomplete.*download it again"),
    "truncated safetensors": (
        lambda p, w: cut_in_half(p, {"a": torch.zeros(999)}, save_file),
        "damaged or incomplete",
    ),
    "truncated old file": (
        lambda p, w: cut_in_half(p, w, save_old),
        "damaged or incomplete",
    ),
    "pickle": (lambda p, w: p.write_bytes(pickle.dumps({"a": 1})), "damaged|Python objects"),
    "code": (lambda p, w: torch.save({"model": Harmful()}, p), "Python objects.*could run code"),
    "list": (lambda p, w: torch.save([1, 2], p), "no named weights"),
    "other": (lambda p, w: torch.save({"fc.weight": torch.zeros(3)}, p), "no Segment Anything"),
    "missing": (with_change(lambda w: w.pop("mask_decoder.iou_token.weight")), "not known here"),
    "nan": (with_change(set_nan), "mask_decoder.iou_token.weight are not finite"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_bad_files_are_one_clear_sentence(tmp_path, pocket_weights, kind, capfd):
    write, sentence = BAD_FILES[kind]
    path = tmp_path / "bad.pt"
    write(path, pocket_weights)
    with pytest.raises(UserError, match=sentence) as caught:
        load(path, device="cpu")
    assert "bad.pt" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "ran" not in capfd.readouterr().out


def test_an_incomplete_model_of_a_known_kind_says_which_weight(tmp_path, mobile):
    missing = {n: v for n, v in mobile.items() if n != "mask_decoder.iou_token.weight"}
    with pytest.raises(UserError, match=r"1 of its weights are missing, first mask_decoder\.iou_t"):
        load(saved(tmp_path, missing), device="cpu")
    adapters = mobile | {"mask_decoder.lora_A.weight": torch.zeros(2)}
    with pytest.raises(UserError, match=r"are too many, first mask_decoder\.lora_A"):
        load(saved(tmp_path, adapters), device="cpu")
    other = mobile | {"mask_decoder.iou_token.weight": torch.zeros(2, 256)}
    with pytest.raises(UserError, match=r"differ, first mask_decoder\.iou_token"):
        load(saved(tmp_path, other), device="cpu")


def test_a_vit_of_another_size_is_named():
    weights = {
        "image_encoder.pos_embed": torch.zeros(1, 64, 64, 384),
        "image_encoder.blocks.0.norm1.weight": torch.zeros(384),
    }
    with pytest.raises(UserError, match=r"my\.pt .* \(1 blocks of width 384\)"):
        infer_architecture(weights, {}, "my.pt")


def test_names_folders_and_choices_that_do_not_exist(tmp_path):
    with pytest.raises(UserError, match=r"no model or file vit_x: choose one of pocket, .*vit_h"):
        load("vit_x")
    with pytest.raises(UserError, match="is a folder"):
        load(tmp_path)
    with pytest.raises(UserError, match="'reference' or 'fast'"):
        load("pocket", precision="half")


def test_a_registered_name_is_fetched(monkeypatch, tmp_path, pocket_file):
    from napari_samstar.core.models import downloads

    (tmp_path / "weights").mkdir()
    pocket_file.rename(tmp_path / "weights" / "pocket.safetensors")
    monkeypatch.setattr(downloads, "PACKAGE", tmp_path)
    model = load("pocket")
    assert_ready(model)
    assert model.name == "pocket"
    assert model.device_reason
    assert len(model.sha256) == 64


def test_a_model_of_micro_sam_is_loaded_by_name(monkeypatch, tmp_path, mobile):
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("SAMSTAR_CACHE", str(tmp_path))
    torch.save(OrderedDict(mobile), folder / "vit_t_lm.pt")  # as export_custom_sam_model writes it
    digest = hashlib.sha256((folder / "vit_t_lm.pt").read_bytes()).hexdigest()
    row = dataclasses.replace(REGISTRY["vit_t_lm"], sha256=digest, xxh128=None)
    monkeypatch.setitem(REGISTRY, "vit_t_lm", row)
    model = load("vit_t_lm", "cpu")
    assert_ready(model)
    assert (model.name, model.architecture, model.sha256) == ("vit_t_lm", "mobile_sam", digest)


def test_the_separate_decoder_of_micro_sam_is_no_model(tmp_path):
    decoder = OrderedDict({"out_conv.weight": torch.zeros(3, 64, 1, 1)})
    with pytest.raises(UserError, match="holds no Segment Anything model"):
        load(saved(tmp_path, decoder))
