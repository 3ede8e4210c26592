from __future__ import annotations

import time
from importlib.resources import files

import numpy as np
import pytest
import torch
from segment_anything import SamAutomaticMaskGenerator, SamPredictor

from napari_samstar.core.models import pocket


@pytest.fixture(scope="module")
def model() -> pocket.Pocket:
    torch.manual_seed(0)
    return pocket.build_pocket()


@pytest.fixture(scope="module")
def predictor(model: pocket.Pocket) -> SamPredictor:
    predictor = SamPredictor(model)
    predictor.set_image(disks((120, 200)))
    return predictor


def disks(shape: tuple[int, int]) -> np.ndarray:
    """A grey RGB image with three bright disks on a dark ground."""
    rows, cols = np.indices(shape)
    image = np.full(shape, 40, np.uint8)
    for r, c in ((0.3, 0.2), (0.5, 0.5), (0.7, 0.8)):
        image[(rows - r * shape[0]) ** 2 + (cols - c * shape[1]) ** 2 < 15**2] = 200
    return np.repeat(image[..., None], 3, 2)


def test_weights_fit_in_the_wheel(model: pocket.Pocket) -> None:
    values = sum(v.numel() for v in model.state_dict().values())
    assert 2 * values <= 12e6  # bytes in fp16


def test_build_is_in_eval_mode_and_keeps_sams_attributes(model: pocket.Pocket) -> None:
    assert not model.training
    assert model.mask_threshold == 0.0
    assert model.image_encoder.img_size == pocket.IMAGE_SIZE
    assert model.prompt_encoder.mask_input_size == (pocket.MASK_SIZE, pocket.MASK_SIZE)


def test_predictor_shapes_for_every_kind_of_prompt(predictor: SamPredictor) -> None:
    click, label = np.array([[40, 36]]), np.array([1])
    masks, scores, low = predictor.predict(click, label)
    assert masks.shape == (3, 120, 200)
    assert masks.dtype == bool
    assert scores.shape == (3,)
    assert low.shape == (3, pocket.MASK_SIZE, pocket.MASK_SIZE)
    box = np.array([25, 20, 56, 52])
    two = {"point_coords": np.array([[40, 36], [90, 90]]), "point_labels": np.array([1, 0])}
    for prompt in (two, {"box": box}, {"box": box, **two}, {"mask_input": low[:1]}, {}):
        masks, scores, _ = predictor.predict(**prompt, multimask_output=False)
        assert masks.shape == (1, 120, 200)
        assert np.isfinite(scores).all()


def test_prompts_change_the_answer(predictor: SamPredictor) -> None:
    def logits(**prompt: np.ndarray) -> np.ndarray:
        return predictor.predict(**prompt, multimask_output=False)[2]

    click = {"point_coords": np.array([[40, 36]]), "point_labels": np.array([1])}
    first = logits(**click)
    assert not np.allclose(first, logits(**click | {"point_labels": np.array([0])}))
    assert not np.allclose(first, logits(**click | {"point_coords": np.array([[160, 84]])}))
    assert not np.allclose(first, logits(**click, mask_input=np.full((1, 256, 256), 5.0)))


@torch.no_grad()
def test_a_batch_of_prompts_equals_the_prompts_one_by_one(
    model: pocket.Pocket, predictor: SamPredictor
) -> None:
    points = torch.rand(19, 1, 2, generator=torch.Generator().manual_seed(1)) * 300
    labels = torch.ones(19, 1, dtype=torch.int)
    together, iou, _ = predictor.predict_torch(points, labels, return_logits=True)
    alone = [predictor.predict_torch(p[None], labels[:1], return_logits=True) for p in points]
    torch.testing.assert_close(together, torch.cat([a[0] for a in alone]), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(iou, torch.cat([a[1] for a in alone]), atol=1e-4, rtol=1e-3)


@torch.no_grad()
def test_the_same_input_gives_the_same_bits(predictor: SamPredictor) -> None:
    points, labels = torch.full((8, 1, 2), 100.0), torch.ones(8, 1, dtype=torch.int)
    first, second = (predictor.predict_torch(points, labels, return_logits=True) for _ in "ab")
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@torch.no_grad()
def test_training_windows_agree_with_the_whole_frame(model: pocket.Pocket) -> None:
    point = (torch.tensor([[[300.0, 200.0]]]), torch.ones(1, 1, dtype=torch.int))
    encoder = model.prompt_encoder
    sparse, dense = encoder(point, None, None)
    window_sparse, window = encoder.embed(point, None, None, grid=(16, 16), origin=(6, 12))
    assert torch.equal(sparse, window_sparse)
    torch.testing.assert_close(dense[:, :, 6:22, 12:28], window)


@torch.no_grad()
def test_unpack_returns_what_the_encoder_packed(model: pocket.Pocket) -> None:
    embedding = torch.arange(608 * 4.0).view(1, 608, 2, 2)
    coarse, dense, fine, identity = pocket.unpack(embedding)
    assert torch.equal(coarse, embedding[:, :128])
    packed = torch.nn.functional.pixel_unshuffle(torch.cat([dense, fine, identity], 1), 4)
    assert torch.equal(packed, embedding[:, 128:])


def test_dense_maps_are_probabilities_and_sizes_at_stride_4(
    model: pocket.Pocket, predictor: SamPredictor
) -> None:
    with torch.no_grad():
        maps = model.dense_maps(predictor.features)
    for one in maps:
        assert one.shape == (1, 128, 128)
        assert one.min() >= 0
    assert max(one.max() for one in (maps.foreground, maps.edge, maps.centre)) <= 1
    assert maps.size.max() < 16 * 2.72**3.5


@torch.no_grad()
def test_relation_tells_cells_that_vote_for_the_clicked_centre() -> None:
    dense = torch.zeros(1, pocket.DENSE, 8, 8)
    cells = torch.arange(8) * 4 + 2.0
    for axis, centres in ((3, cells.view(-1, 1)), (4, cells.view(1, -1))):
        left_right = torch.where(torch.arange(8) < 4, 8.0, 24.0)
        target = torch.full((8, 8), 16.0) if axis == 3 else left_right.expand(8, 8)
        dense[0, axis] = (target - centres) / pocket.SIZE_UNIT
    maps = torch.zeros(1, 8, 8, 8)
    maps[0, 0, 4, 1] = 1.0  # the prompt looks at the left object
    related = pocket.relate(dense, torch.zeros(1, pocket.IDENTITY, 8, 8), maps)
    assert related.shape[1] == 16
    assert (related[0, 0, :, :4] > 0.99).all()
    assert (related[0, 0, :, 4:] < 0.01).all()


def test_latency_allows_interaction(model: pocket.Pocket) -> None:
    """Loose bounds, in processor time: other programs do not count."""
    predictor = SamPredictor(model)
    start = time.process_time()
    predictor.set_image(disks((256, 256)))
    encoded = time.process_time()
    predictor.predict(np.array([[50, 50]]), np.array([1]))
    assert encoded - start < 10
    assert time.process_time() - encoded < 3


def bundled(model: pocket.Pocket) -> pocket.Pocket:
    from safetensors.torch import load_file

    path = files("napari_samstar") / "weights" / "pocket.safetensors"
    state = {k: v.float() for k, v in load_file(str(path)).items()}
    model = pocket.build_pocket()
    model.load_state_dict(state, strict=True)
    return model


def test_bundled_weights_find_plain_disks_at_sams_defaults(model: pocket.Pocket) -> None:
    """Three bright disks on a dark ground: the least that may be asked."""
    image = disks((240, 320))
    records = SamAutomaticMaskGenerator(bundled(model), points_per_side=16).generate(image)
    assert records
    truth = image[..., 0] > 100
    small = [r["segmentation"] for r in records if r["area"] < 0.5 * truth.size]
    union = np.any(small, axis=0)
    assert (union & truth).sum() / (union | truth).sum() > 0.6
