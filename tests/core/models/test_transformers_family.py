from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.bank import discs
from napari_samstar.core.errors import UserError
from napari_samstar.core.models.backend import PromptArrays
from napari_samstar.core.models.encoder import EmbeddingCache
from napari_samstar.core.models.loading import file_sha256, load
from tests.core.hf_folders import SIDE, save_tiny

REASON = "transformers is not installed: pip install 'napari-samstar[hf]'"
transformers = pytest.importorskip("transformers", reason=REASON)

SHAPE = (40, 60)
IMAGE = discs(SHAPE).rgb
POINTS = np.array([[[12.0, 9.0]], [[50.0, 30.0]]])
LABELS = np.ones((2, 1), dtype=np.int64)
BOXES = np.array([[3.0, 4.0, 20.0, 21.0], [30.0, 5.0, 55.0, 35.0]])


@pytest.fixture(scope="module", params=["sam2", "sam_hq"])
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def folder(kind, tmp_path_factory):
    path = tmp_path_factory.mktemp("hf") / f"{kind}.1-tiny"
    save_tiny(kind, path)
    return path


@pytest.fixture(scope="module")
def model(folder):
    return load(folder, "cpu")


@pytest.fixture(scope="module")
def network(kind, folder):
    of_kind = transformers.Sam2Model if kind == "sam2" else transformers.SamHQModel
    return of_kind.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.fixture
def copied(tmp_path, folder):
    """Return a copy of the folder, which a test may damage."""
    path = tmp_path / "copy"
    path.mkdir()
    for name in ("config.json", "model.safetensors"):
        (path / name).write_bytes((folder / name).read_bytes())
    return path


def processed(kind, **prompts):
    """Return what transformers' own processor makes of the image and of prompts."""
    sizes = {"sam2": {"height": SIDE, "width": SIDE}, "sam_hq": {"longest_edge": SIDE}}
    if kind == "sam2":
        images = transformers.Sam2ImageProcessor(size=sizes[kind])
        processor = transformers.Sam2Processor(images, target_size=SIDE)
    else:
        pad = {"height": SIDE, "width": SIDE}
        images = transformers.SamImageProcessor(size=sizes[kind], pad_size=pad)
        processor = transformers.SamHQProcessor(images)
    inputs = processor(images=IMAGE.copy(), return_tensors="pt", **prompts)
    # The sizes are for the masks only.
    return {name: value for name, value in inputs.items() if not name.endswith("sizes")}


def assert_close(ours, theirs):
    torch.testing.assert_close(ours, theirs.float(), rtol=1e-4, atol=1e-4)


def test_a_folder_is_a_model(kind, folder, model):
    assert (model.name, model.architecture, model.path) == (f"{kind}.1-tiny", kind, folder)
    assert model.sha256 == file_sha256(folder / "model.safetensors")
    backend = model.backend
    assert (backend.device.type, backend.frame_side) == ("cpu", SIDE)
    assert backend.low_res_shape == (SIDE // 4, SIDE // 4)
    assert (backend.sees_centres, backend.window_side) == (False, 0)
    assert not any(p.requires_grad for p in backend.network.parameters())
    assert load(folder / "model.safetensors", "cpu").architecture == kind


def test_metas_files_of_sam2_call_themselves_a_video_model(kind, copied, model):
    if kind != "sam2":
        return
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps(config | {"model_type": "sam2_video"}))
    weights = load_file(copied / "model.safetensors")
    weights["memory_encoder.projection.weight"] = torch.zeros(2, 2)
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    other = load(copied, "cpu")
    assert other.architecture == "sam2"
    assert torch.equal(other.backend.encode(IMAGE).features, model.backend.encode(IMAGE).features)


@pytest.mark.parametrize("multimask", [True, False])
def test_points_are_answered_as_by_transformers(kind, model, network, multimask):
    embedding = model.backend.encode(IMAGE)
    inputs = processed(kind, input_points=[POINTS.tolist()], input_labels=[LABELS.tolist()])
    with torch.no_grad():
        theirs = network(**inputs, multimask_output=multimask)
    logits, quality = model.backend.decode(embedding, POINTS, LABELS, None, multimask=multimask)
    assert logits.shape == (2, 3 if multimask else 1, SIDE // 4, SIDE // 4)
    assert logits.std() > 0.01
    assert_close(logits, theirs.pred_masks[0])
    assert_close(quality, theirs.iou_scores[0])


def test_boxes_are_answered_as_by_transformers(kind, model, network):
    inputs = processed(kind, input_boxes=[BOXES.tolist()])
    with torch.no_grad():
        theirs = network(**inputs, multimask_output=False)
    embedding = model.backend.encode(IMAGE)
    logits, quality = model.backend.decode(embedding, None, None, BOXES, multimask=False)
    assert_close(logits, theirs.pred_masks[0])
    assert_close(quality, theirs.iou_scores[0])


@pytest.mark.parametrize("with_points", [True, False])
def test_a_mask_prompt_is_answered_as_by_transformers(kind, model, network, with_points):
    mask = np.random.default_rng(0).normal(0, 5, model.backend.low_res_shape).astype(np.float32)
    points = [[POINTS[0].tolist()]] if with_points else None
    labels = [[LABELS[0].tolist()]] if with_points else None
    given = {"input_points": points, "input_labels": labels} if with_points else {}
    inputs = processed(kind, **given)
    with torch.no_grad():
        theirs = network(**inputs, input_masks=torch.from_numpy(mask)[None, None])
    prompt = PromptArrays(
        points=POINTS[0] if with_points else None,
        labels=LABELS[0] if with_points else None,
        mask=mask,
    )
    masks, quality, low_res = model.backend.predict(
        model.backend.encode(IMAGE), prompt, multimask=True
    )
    assert_close(torch.from_numpy(low_res), theirs.pred_masks[0, 0])
    assert_close(torch.from_numpy(quality), theirs.iou_scores[0, 0])
    assert masks.shape == (3, *SHAPE)
    assert masks.dtype == bool


def test_a_prompt_of_points_box_and_mask(model):
    embedding = model.backend.encode(IMAGE)
    mask = np.zeros(model.backend.low_res_shape, dtype=np.float32)
    prompt = PromptArrays(POINTS[0], LABELS[0], BOXES[0], mask)
    masks, quality, low_res = model.backend.predict(embedding, prompt, multimask=False)
    assert (masks.shape, quality.shape) == ((1, *SHAPE), (1,))
    assert low_res.shape == (1, *model.backend.low_res_shape)


def test_a_mask_alone_is_a_prompt(model):
    mask = np.ones(model.backend.low_res_shape, dtype=np.float32)
    embedding = model.backend.encode(IMAGE)
    assert model.backend.predict(embedding, PromptArrays(mask=mask), multimask=True)[0].any()


def test_decode_all_gives_the_single_mask_first(model):
    backend, embedding = model.backend, model.backend.encode(IMAGE)
    encoded = backend.encode_prompt(embedding, PromptArrays(POINTS[0], LABELS[0]))
    logits, quality = backend.decode_all(encoded)
    for multimask, part in ((False, slice(1)), (True, slice(1, 4))):
        wanted = backend.decode(embedding, POINTS[:1], LABELS[:1], None, multimask=multimask)
        torch.testing.assert_close(logits[part], wanted[0][0])
        torch.testing.assert_close(quality[part], wanted[1][0])


def test_logits_are_resized_as_by_transformers(kind, model):
    low_res = torch.randn((2, 3, SIDE // 4, SIDE // 4))
    embedding = model.backend.encode(IMAGE)
    if kind == "sam2":
        assert embedding.input_size == (SIDE, SIDE)
        images = transformers.Sam2ImageProcessor(size={"height": SIDE, "width": SIDE})
        theirs = images.post_process_masks(low_res[:, None], [SHAPE] * 2, binarize=False)
    else:
        assert embedding.input_size == (43, SIDE)
        pad = {"height": SIDE, "width": SIDE}
        images = transformers.SamImageProcessor(size={"longest_edge": SIDE}, pad_size=pad)
        theirs = images.post_process_masks(
            low_res[:, None], [SHAPE] * 2, [embedding.input_size] * 2, binarize=False
        )
    ours = model.backend.upscale(low_res, embedding)
    assert ours.shape == (2, 3, *SHAPE)
    torch.testing.assert_close(ours, torch.stack(list(theirs))[:, 0])
    assert model.backend.upscale(low_res, embedding, (7, 9)).shape == (2, 3, 7, 9)


def test_an_embedding_from_the_disk_answers_the_same(model, tmp_path):
    first = EmbeddingCache(tmp_path).encode(model, IMAGE)
    second = EmbeddingCache(tmp_path).get(model, IMAGE)
    one, two = (
        model.backend.decode(e, POINTS, LABELS, None, multimask=True)[0] for e in (first, second)
    )
    assert torch.equal(one, two)


def test_learning_is_refused_in_one_sentence(model):
    backend = model.backend
    for refuse in (
        backend.copy_of_decoder,
        backend.decoder_weights,
        lambda: backend.with_decoder_weights({}),
    ):
        with pytest.raises(UserError, match="cannot learn from corrections here: go on without"):
            refuse()


# --- bad folders ----------------------------------------------------------------------------------


def without_weights(folder):
    (folder / "model.safetensors").unlink()


def cut_off(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def changed_weights(change):
    def write(folder):
        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    return write


def config_text(text):
    return lambda folder: (folder / "config.json").write_text(text)


BAD_FOLDERS = {
    "no weights": (without_weights, "has no model.safetensors: download that file"),
    "cut off": (cut_off, "is damaged, or its files do not belong together"),
    "missing": (
        changed_weights(lambda w: w.pop("mask_decoder.iou_token.weight")),
        r"1 of its weights are missing, first mask_decoder\.iou_token\.weight",
    ),
    "nan": (
        changed_weights(lambda w: w["mask_decoder.iou_token.weight"].fill_(float("nan"))),
        r"its weights mask_decoder\.iou_token\.weight are not finite: get a fresh copy",
    ),
    "shape": (
        changed_weights(lambda w: w.update({"mask_decoder.iou_token.weight": torch.zeros(1, 5)})),
        "is damaged, or its files do not belong together",
    ),
    "no config": (lambda f: (f / "config.json").unlink(), "is a folder: choose a checkpoint file"),
    "no json": (config_text("{"), "does not say which model this is"),
    "no kind": (config_text("{}"), "does not say which model this is"),
    "list": (config_text("[]"), "does not say which model this is"),
    "other": (config_text('{"model_type": "clip"}'), "kind 'clip', which is not known here"),
}


@pytest.mark.parametrize("bad", BAD_FOLDERS)
def test_bad_folders_are_one_clear_sentence(copied, bad, capfd):
    damage, sentence = BAD_FOLDERS[bad]
    damage(copied)
    with pytest.raises(UserError, match=sentence) as caught:
        load(copied, "cpu")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_without_transformers_the_error_says_what_to_install(copied, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r"run pip install 'napari-samstar\[hf\]'"):
        load(copied, "cpu")
