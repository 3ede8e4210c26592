from __future__ import annotations

import numpy as np
import pytest

from napari_samstar.core.amg.tile_scale import MOST_ENLARGED, TARGET, choose_tile_scale
from napari_samstar.core.image.micrograph import Micrograph
from napari_samstar.core.models.encoder import EmbeddingCache
from napari_samstar.core.models.loading import load
from napari_samstar.core.progress import run


@pytest.fixture(scope="module")
def pocket():
    return load("pocket", "cpu")


def discs(side, radius, seed=0):
    """Bright discs with noise, far from each other."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:side, :side]
    step = 3 * radius
    inside = ((rows % step - step / 2) ** 2 + (cols % step - step / 2) ** 2) < radius**2
    gray = np.where(inside, 180, 60) + rng.normal(0, 8, (side, side))
    gray = gray.clip(0, 255).astype(np.uint8)
    return Micrograph(np.repeat(gray[..., np.newaxis], 3, axis=2))


def chosen(image, sizer, side=None, frame_side=512):
    return run(choose_tile_scale(image, frame_side, sizer, EmbeddingCache(), side))


def test_objects_that_fit_one_frame_need_no_tiles(pocket):
    found = chosen(discs(512, 30), pocket)
    assert found.scale == 0
    assert found.sentence((512, 512), 512) == ""


@pytest.mark.parametrize("radius", [10, 16])
def test_small_objects_of_a_large_image_come_to_the_size_aimed_at(pocket, radius):
    image = discs(2000, radius)
    found = chosen(image, pocket)
    side = radius * np.sqrt(np.pi)
    assert found.side == pytest.approx(side, rel=0.3)
    assert found.scale * side == pytest.approx(TARGET, rel=0.35)
    assert f"tiles at scale {found.scale:g}" in found.sentence(image.shape, 512)


def test_a_size_that_the_user_knows_is_not_measured(pocket):
    image = discs(1200, 16)
    assert chosen(image, pocket, side=16.0).scale == pytest.approx(TARGET / 16)
    assert chosen(image, pocket, side=4.0).scale == MOST_ENLARGED
    assert chosen(image, pocket, side=200.0).scale == 0


def test_a_larger_frame_needs_a_lower_scale(pocket):
    image = discs(2000, 10)
    small, large = chosen(image, pocket), chosen(image, pocket, frame_side=1024)
    assert large.side == small.side
    assert large.scale == small.scale, "the scale is in px of the frame"
    assert chosen(discs(1200, 16), pocket, frame_side=1024).scale == 0


def test_an_image_without_objects_is_one_frame(pocket):
    noise = np.random.default_rng(0).normal(100, 3, (600, 600, 1)).astype(np.uint8)
    assert chosen(Micrograph(noise.repeat(3, axis=2)), pocket).scale == 0
