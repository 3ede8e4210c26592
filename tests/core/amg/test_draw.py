"""Masks drawn in windows are those that the backend draws at full size."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch

from napari_samstar.core.amg.draw import Resizer
from napari_samstar.core.models.encoder import encode
from tests.core.disc_image import pocket, small_sam
from tests.core.tiny import tiny_model

MODELS = {"tiny": tiny_model, "small": small_sam, "pocket": pocket}
SHAPES = {
    "square": (128, 128),
    "landscape": (90, 200),
    "portrait": (200, 90),
    "odd": (97, 131),
    "larger than the frame": (601, 433),
    "a strip": (9, 300),
}
LOWEST = -2.0  # logits below are not drawn


@lru_cache
def embedding_of(model, shape):
    """Of a black image: only its size matters here."""
    return encode(MODELS[model](), np.zeros((*SHAPES[shape], 3), dtype=np.uint8))


@pytest.fixture(params=MODELS)
def model(request):
    return request.param


@pytest.fixture
def backend(model):
    return MODELS[model]().backend


@pytest.fixture(params=SHAPES)
def embedding(request, model):
    return embedding_of(model, request.param)


def blobs(backend, seed=0):
    """Smooth random logits (h, w) from about -12 to 12, of which a part is above zero."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.normal(-2, 6, (1, 1, 9, 9)).astype(np.float32))
    return torch.nn.functional.interpolate(coarse, size=backend.low_res_shape, mode="bicubic")[0, 0]


def upscaled(backend, embedding, low_res):
    return backend.upscale(low_res[None, None], embedding)[0, 0].numpy()


def assert_equal_above_lowest(drawn, row, col, expected):
    placed = np.full(expected.shape, LOWEST, dtype=np.float32)
    placed[row : row + drawn.shape[0], col : col + drawn.shape[1]] = drawn
    assert (expected > 0).any()
    np.testing.assert_allclose(np.maximum(placed, LOWEST), np.maximum(expected, LOWEST), atol=1e-4)


def test_its_matrices_resize_as_the_backend_does(backend, embedding):
    low_res = blobs(backend)
    resizer = Resizer.of(backend, embedding)
    drawn = resizer.rows @ low_res.numpy() @ resizer.cols.T
    np.testing.assert_allclose(drawn, upscaled(backend, embedding, low_res), atol=1e-4)


def test_only_the_part_above_the_lowest_is_drawn_and_is_equal(backend, embedding):
    for seed in range(5):
        low_res = blobs(backend, seed)
        low_res[len(low_res) // 2 :] = -9  # a part that need not be drawn
        expected = upscaled(backend, embedding, low_res)
        resizer = Resizer.of(backend, embedding)
        drawn, row, col = resizer.window(low_res.numpy(), (0, 0), LOWEST)
        assert_equal_above_lowest(drawn, row, col, expected)


@pytest.mark.parametrize("place", [0.0, 0.2, 0.4])
def test_a_window_is_drawn_as_in_a_frame_that_is_low_elsewhere(backend, embedding, place):
    shape = backend.low_res_shape
    filled = np.array(embedding.input_size) * shape[0] / backend.frame_side  # without padding
    first = (place * filled).astype(int)
    side = shape[0] // 2
    low_res = torch.full(shape, -9.0)
    here = slice(first[0], first[0] + side), slice(first[1], first[1] + side)
    window = blobs(backend, 1)[:side, :side]
    # Nothing reaches the inner edges of the window: else the whole frame would be decoded.
    window[-1] = window[:, -1] = -9
    if first[0]:
        window[0] = -9
    if first[1]:
        window[:, 0] = -9
    low_res[here] = window
    expected = upscaled(backend, embedding, low_res)
    resizer = Resizer.of(backend, embedding)
    drawn, row, col = resizer.window(window.numpy(), (int(first[0]), int(first[1])), LOWEST)
    assert_equal_above_lowest(drawn, row, col, expected)


def test_what_is_drawn_is_no_larger_than_the_mask_needs():
    backend = pocket().backend
    embedding = encode(pocket(), np.zeros((512, 512, 3), dtype=np.uint8))
    low_res = np.full(backend.low_res_shape, -9.0, dtype=np.float32)
    low_res[100:110, 40:60] = 5
    drawn, row, col = Resizer.of(backend, embedding).window(low_res, (0, 0), LOWEST)
    assert (drawn.shape[0], drawn.shape[1]) <= (24, 44)
    assert abs(row - 200) <= 2
    assert abs(col - 80) <= 2


def test_logits_that_are_all_low_give_one_low_pixel():
    embedding = encode(pocket(), np.zeros((40, 60, 3), dtype=np.uint8))
    resizer = Resizer.of(pocket().backend, embedding)
    drawn, row, col = resizer.window(np.full((30, 30), -5, np.float32), (3, 4), LOWEST)
    assert (drawn.shape, row, col) == ((1, 1), 0, 0)
    assert drawn[0, 0] <= LOWEST


def test_logits_in_the_padding_only_are_no_mask():
    backend = pocket().backend
    embedding = encode(pocket(), np.zeros((100, 400, 3), dtype=np.uint8))  # lower 3/4 is padding
    low_res = np.full(backend.low_res_shape, -9.0, dtype=np.float32)
    low_res[200:220, 50:80] = 5
    drawn, _, _ = Resizer.of(backend, embedding).window(low_res, (0, 0), LOWEST)
    assert (upscaled(backend, embedding, torch.from_numpy(low_res)) <= LOWEST).all()
    assert not (drawn > 0).any()


def test_the_weights_of_a_size_are_found_once():
    first = encode(tiny_model(), np.zeros((50, 70, 3), dtype=np.uint8))
    again = encode(tiny_model(), np.ones((50, 70, 3), dtype=np.uint8))
    other = encode(tiny_model(), np.zeros((70, 50, 3), dtype=np.uint8))
    backend = tiny_model().backend
    assert Resizer.of(backend, first) is Resizer.of(backend, again)
    assert Resizer.of(backend, first) is not Resizer.of(backend, other)
