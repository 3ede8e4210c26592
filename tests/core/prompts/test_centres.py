from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from segment_anything import SamAutomaticMaskGenerator

from benchmarks.bank import differences
from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.select import records, select
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.micrograph import Micrograph
from napari_samstar.core.models.encoder import EmbeddingCache
from napari_samstar.core.models.loading import load
from napari_samstar.core.progress import run
from napari_samstar.core.prompts.centres import USUAL_CENTRES, centres, peaks
from napari_samstar.core.prompts.sources import prompt_source
from napari_samstar.core.results.recipe import Recipe, make_recipe
from tests.core.tiny import tiny_model

if TYPE_CHECKING:
    from napari_samstar.core.models.backend import LoadedModel

CENTRES = AmgConfig(prompts="centres")
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


def test_without_a_peak_the_highest_cell_is_the_prompt() -> None:
    centre = np.zeros((4, 6), np.float32)
    centre[2, 5] = 0.01
    assert peaks(centre, 0.2).tolist() == [[2, 5]]
    assert len(peaks(np.zeros((4, 6), np.float32), 0.2)) == 1


def test_centres_lie_on_the_objects(model: LoadedModel, image: Micrograph) -> None:
    points = centres(model.backend, EmbeddingCache().encode(model, image.rgb)) * [180, 112]
    assert len(points) < 30
    for r, c in AT:
        assert np.hypot(points[:, 0] - c, points[:, 1] - r).min() < 8


@pytest.mark.parametrize("zoom", [0, 1])
def test_records_equal_upstreams_at_the_same_points(
    model: LoadedModel, image: Micrograph, zoom: int
) -> None:
    config = CENTRES.replace(crop_n_layers=zoom, pred_iou_thresh=0.5, stability_score_thresh=0.5)
    bank = ProposalBank(image, model)
    run(bank.prepare(config))
    generator = AskedAtCentres(model, config)
    theirs = generator.generate(image.rgb)
    assert differences(records(bank, select(bank, config)), theirs) == []
    assert len(theirs) >= len(AT)
    assert len(generator.asked) == (1, 5)[zoom]


class AskedAtCentres(SamAutomaticMaskGenerator):
    """Upstream's generator, given each crop's centres before it asks there."""

    def __init__(self, model: LoadedModel, config: AmgConfig) -> None:
        self.model, self.asked = model, []
        kwargs = config.replace(prompts="grid").generator_kwargs()
        super().__init__(model.sam, **kwargs)

    def _process_crop(self, image, crop_box, crop_layer_idx, orig_size):
        x0, y0, x1, y1 = crop_box
        embedding = EmbeddingCache().encode(self.model, image[y0:y1, x0:x1])
        self.point_grids[crop_layer_idx] = centres(self.model.backend, embedding)
        self.asked.append(len(self.point_grids[crop_layer_idx]))
        return super()._process_crop(image, crop_box, crop_layer_idx, orig_size)


def test_a_recipe_asks_anew_on_another_image(model: LoadedModel, image: Micrograph) -> None:
    moved = Micrograph(np.roll(image.rgb, (0, 20), axis=(0, 1)))
    found = [_middles(model, one) for one in (image, moved)]
    assert len(found[0]) >= len(AT)
    shift = found[1][:, None] - found[0][None] - [0, 20]
    near = (np.hypot(*np.moveaxis(shift, 2, 0)) < 2).any(axis=0)
    assert near.sum() >= len(AT)


def _middles(model: LoadedModel, image: Micrograph) -> np.ndarray:
    recipe = make_recipe(image, model, CENTRES)
    config = Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))).config
    bank = ProposalBank(image, model)
    run(bank.prepare(config))
    boxes = select(bank, config).boxes.astype(float)
    return (boxes[:, [1, 0]] + boxes[:, [3, 2]]) / 2


def test_before_it_is_encoded_the_cost_is_a_guess(model: LoadedModel, image: Micrograph) -> None:
    bank = ProposalBank(image, model)
    work = bank.missing([CENTRES])
    assert (work.crops, work.prompts) == (1, USUAL_CENTRES)
    steps = list(bank.prepare(CENTRES))
    assert all(step.done <= step.total for step in steps)
    (table,) = bank.tables(CENTRES)
    assert 0 < table.n_prompts < USUAL_CENTRES
    assert not bank.missing([CENTRES, CENTRES.replace(points_per_side=8)])


def test_a_model_without_a_centre_map_is_refused(image: Micrograph) -> None:
    tiny = tiny_model()
    assert not tiny.backend.sees_centres
    with pytest.raises(UserError, match="cannot propose centres"):
        run(ProposalBank(image, tiny).prepare(CENTRES))


def test_upstream_and_point_grids_have_no_centres() -> None:
    with pytest.raises(UserError, match="only prompts on a grid"):
        CENTRES.generator_kwargs()
    with pytest.raises(UserError, match="not both"):
        AmgConfig(prompts="centres", points_per_side=None, point_grids=(((0.5, 0.5),),))
    corners = AmgConfig.from_dict({"prompts": "corners"})
    with pytest.raises(UserError, match="no prompt source 'corners': choose one of grid, centres"):
        prompt_source(corners.prompts)
