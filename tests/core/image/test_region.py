"""Only the region is segmented; data bars are found and left out."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.bank import discs
from benchmarks.data_bar import KINDS, with_bar
from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.amg.select import select
from napari_samstar.core.cues.region_cues import cues_inside
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.data_bar import find_data_bar, stated_bar
from napari_samstar.core.image.mapping import ImageMapping
from napari_samstar.core.image.micrograph import Micrograph
from napari_samstar.core.image.prepare import prepare
from napari_samstar.core.image.region import Region, rectangle
from napari_samstar.core.progress import run
from tests.core.tiny import tiny_model

SHAPE = (60, 80)
TRIANGLE = ((10.0, 10.0), (10.0, 50.0), (50.0, 10.0))


def test_a_rectangle_is_exact_and_windows_agree_with_the_whole():
    region = Region((rectangle(10, 20, 30, 50), TRIANGLE), (rectangle(15, 25, 20, 30),))
    whole = region.mask(SHAPE)
    assert Region((rectangle(10, 20, 30, 50),)).mask(SHAPE).sum() == 20 * 30
    for box in [(0, 0, 60, 80), (12, 22, 33, 41), (55, 70, 60, 80), (14, 24, 21, 31)]:
        row0, col0, row1, col1 = box
        np.testing.assert_array_equal(region.window(*box), whole[row0:row1, col0:col1])
    assert not whole[15:20, 25:30].any()
    assert whole[12, 12]


@pytest.mark.parametrize("seed", range(5))
def test_a_mask_is_kept_exactly_and_goes_through_a_recipe(seed):
    mask = np.random.default_rng(seed).random(SHAPE) < 0.5
    region = Region.of_mask(mask).replace(border_objects=False)
    np.testing.assert_array_equal(region.mask(SHAPE), mask)
    mapping = ImageMapping(region=region, data_bar="keep")
    again = ImageMapping.from_dict(mapping.to_dict())
    assert again == mapping
    assert again.region.digest == region.digest
    assert "region" not in ImageMapping().to_dict()
    part = region.cropped((20, 10, 60, 40))
    np.testing.assert_array_equal(part.mask((30, 40)), mask[10:40, 20:60])


@pytest.mark.parametrize(
    ("region", "sentence"),
    [
        (Region.of_mask(np.ones((9, 9), bool)), "mask of 9 x 9 pixels, the plane has 60 x 80"),
        (Region((rectangle(70, 90, 80, 99),)), "Nothing of the image lies in the region"),
        (Region(outside=(rectangle(0, 0, 60, 80),)), "Nothing of the image lies in the region"),
    ],
)
def test_regions_that_do_not_fit_are_told(region, sentence):
    image = np.random.default_rng(0).integers(0, 255, SHAPE, np.uint8)
    with pytest.raises(UserError, match=sentence):
        prepare(image, ImageMapping(region=region))


@pytest.mark.parametrize("values", [{"inside": 3}, {"elsewhere": []}, {"inside": [[1, 2]]}])
def test_a_region_that_cannot_be_read_is_one_sentence(values):
    with pytest.raises(UserError, match="An image setting has the wrong type"):
        ImageMapping.from_dict({"region": values})


def test_the_contrast_is_that_of_the_region():
    image = np.random.default_rng(0).integers(100, 200, SHAPE, np.uint16)
    image[:, 40:] += 20_000
    left = ImageMapping(region=Region((rectangle(0, 0, 60, 40),)))
    found = prepare(image, left).pixels[:, :40]
    np.testing.assert_array_equal(found, prepare(image[:, :40]).pixels)


@pytest.fixture(scope="module")
def model():
    return tiny_model()


CONFIG = AmgConfig(
    points_per_side=12, pred_iou_thresh=0.3, stability_score_thresh=0.3, tile_scale=0.0
)


def bank_of(image: Micrograph, model, config=CONFIG) -> ProposalBank:
    bank = ProposalBank(image, model)
    run(bank.prepare(config))
    return bank


@pytest.mark.parametrize("tile_scale", [0.0, 1.0])
def test_prompts_and_masks_lie_in_the_region(model, tile_scale):
    image = discs((256, 420))
    region = Region((rectangle(40, 60, 200, 230),), (rectangle(40, 60, 80, 100),))
    config = CONFIG.replace(tile_scale=tile_scale)
    bank = bank_of(Micrograph(image.pixels, region=region), model, config)
    inside = region.mask(bank.shape)
    selection = select(bank, config)
    assert len(selection)
    for mask_id in selection.ids.tolist():
        assert not (bank.masks.dense(mask_id) & ~inside).any()
    rows, cols = np.floor(selection.points).astype(int).T
    assert inside[rows, cols].all()
    whole = bank_of(Micrograph(image.pixels), model, config)
    assert bank.n_prompts < whole.n_prompts
    if tile_scale:
        assert len(bank.parts(config)) < len(whole.parts(config))


def test_an_image_of_another_region_has_another_key():
    image = discs((96, 120))
    keys = {
        Micrograph(image.pixels, region=region).key
        for region in (Region(), Region((TRIANGLE,)), Region(border_objects=False))
    }
    assert len(keys) == 3
    assert Micrograph(image.pixels).key == image.key


def test_objects_at_the_border_are_left_out_on_wish(model):
    image = discs((256, 300))
    region = Region((rectangle(30, 30, 220, 260),))
    some = bank_of(Micrograph(image.pixels, region=region), model)
    kept = bank_of(Micrograph(image.pixels, region=region.replace(border_objects=False)), model)
    rim = region.mask(kept.shape)
    rim[31:219, 31:259] = False

    def at_border(bank):
        return [bool((bank.masks.dense(i) & rim).any()) for i in select(bank, CONFIG).ids.tolist()]

    assert any(at_border(some))
    assert not any(at_border(kept))


def test_cues_are_those_of_the_region_alone():
    rng = np.random.default_rng(0)
    image = rng.normal(60, 3, (128, 160)).astype(np.float32)
    image[20:40, 20:40] = image[60:80, 60:80] = 180
    image[:, 120:] = rng.choice([0, 255], (128, 40))  # text, say
    rgb = np.repeat(np.clip(image, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    inside = np.zeros((128, 160), dtype=bool)
    inside[:, :110] = True
    cues = cues_inside(rgb, inside)
    assert len(cues.component_areas) == 2
    assert not cues.foreground[:, 110:].any()
    assert not cues.edges[:, 104:].any()
    assert cues.foreground[30, 30]
    assert cues.polarity == "bright"


# --- data bars ----------------------------------------------------------------------------------


def micrograph() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.clip(rng.normal(120, 25, (400, 500)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bar_is_found_by_its_looks(kind):
    image, height = with_bar(micrograph(), kind, np.random.default_rng(3))
    found = prepare(image)
    bar = find_data_bar(image.shape, lambda rows: image[rows])
    assert bar is not None
    assert abs(bar.row1 - bar.row0 - height) <= 1
    assert (bar.row0 == 0) == (kind == "at the top")
    assert f"A data bar of {bar.row1 - bar.row0} rows" in found.notes[-1]
    assert not found.region.mask(found.shape)[bar.row0 : bar.row1].any()
    kept = prepare(image, ImageMapping(data_bar="keep"))
    assert not kept.region
    assert kept.notes == ()


def dark_at_the_bottom(image):
    image[350:] = 0


def saturated(image):
    image[image > 140] = 255


def noise_on_black(image):
    image[300:] = np.random.default_rng(1).choice([0, 255], (100, 500), p=[0.9, 0.1])


@pytest.mark.parametrize("change", [lambda image: None, dark_at_the_bottom, saturated])
def test_images_without_a_bar_raise_no_alarm(change):
    image = micrograph()
    change(image)
    assert find_data_bar(image.shape, lambda rows: image[rows]) is None


def test_a_bar_that_the_file_states_is_believed():
    assert stated_bar(400, 48).row0 == 352
    assert stated_bar(400, None) is None
    assert stated_bar(400, 399) is None
    assert "48 rows at the bottom" in prepare(micrograph(), bar_rows=48).notes[-1]
