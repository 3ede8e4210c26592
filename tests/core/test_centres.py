from __future__ import annotations

import numpy as np
import pytest

from napari_samstar.core.centres import centre_grids, peaks, sees_centres
from napari_samstar.core.config import AmgConfig
from napari_samstar.core.encoder import EmbeddingCache
from napari_samstar.core.errors import UserError
from napari_samstar.core.images import Micrograph
from napari_samstar.core.models import LoadedModel, load
from napari_samstar.core.proposals import ProposalBank, run
from napari_samstar.core.select import select
from tests.core.tiny import tiny_model

AT = ((30, 40), (30, 120), (80, 60), (85, 150))  # row, col, px


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load("pocket", device="cpu")


@pytest.fixture(scope="module")
def image() -> Micrograph:
    """Four bright disks of radius 12 on a dark, noisy ground."""
    rows, cols = np.indices((112, 180))
    gray = np.random.default_rng(0).normal(50, 4, rows.shape)
    for r, c in AT:
        gray[(rows - r) ** 2 + (cols - c) ** 2 < 12**2] += 130
    return Micrograph(np.repeat(gray.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2))


def test_peaks_are_the_highest_of_their_neighbours_above_the_threshold() -> None:
    centre = np.zeros((12, 16), np.float32)
    centre[3, 4], centre[3, 5], centre[9, 0], centre[6, 12] = 0.9, 0.8, 0.5, 0.1
    assert peaks(centre, 0.2).tolist() == [[3, 4], [9, 0]]


def test_without_a_peak_the_highest_cell_is_asked_about() -> None:
    centre = np.zeros((4, 6), np.float32)
    centre[2, 5] = 0.01
    assert peaks(centre, 0.2).tolist() == [[2, 5]]
    assert len(peaks(np.zeros((4, 6), np.float32), 0.2)) == 1


def test_centres_lie_on_the_objects(model: LoadedModel, image: Micrograph) -> None:
    (grid,) = centre_grids(model, image, AmgConfig(), EmbeddingCache())
    points = np.array(grid) * [180, 112]
    assert len(points) < 30
    for r, c in AT:
        assert np.hypot(points[:, 0] - c, points[:, 1] - r).min() < 8


def test_they_enter_the_bank_as_point_grids(model: LoadedModel, image: Micrograph) -> None:
    cache = EmbeddingCache()
    grids = centre_grids(model, image, AmgConfig(), cache)
    config = AmgConfig(points_per_side=None, point_grids=grids)
    bank = ProposalBank(image, model, cache)
    assert bank.missing([config]).prompts == len(grids[0])
    run(bank.prepare(config))
    assert len(select(bank, config)) >= 1


def test_each_zoom_level_has_its_grid(model: LoadedModel, image: Micrograph) -> None:
    config = AmgConfig(crop_n_layers=1)
    grids = centre_grids(model, image, config, EmbeddingCache())
    assert len(grids) == 2
    assert all(0 <= v <= 1 for grid in grids for point in grid for v in point)


def test_another_model_is_told_apart(image: Micrograph) -> None:
    assert not sees_centres(tiny_model().sam)
    with pytest.raises(UserError, match="cannot propose centres"):
        centre_grids(tiny_model(), image, AmgConfig(), EmbeddingCache())
