"""What SAM is shown: the same pixels in whichever crop they are asked for."""

from __future__ import annotations

import numpy as np
import pytest

from napari_samstar.cli.options import Shown
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.large import LARGE_PIXELS
from napari_samstar.core.image.loaded import LoadedImage
from napari_samstar.core.image.micrograph import Micrograph
from napari_samstar.core.image.shown import (
    REACH,
    SIGMA,
    MainColour,
    inverted,
    local_contrast,
    shown_crop,
    smoothed,
)
from napari_samstar.core.image.versions import VERSIONS

SHAPE = (90, 130)
CROPS = [(0, 0, 130, 90), (0, 0, 40, 40), (37, 11, 90, 63), (91, 50, 130, 90), (3, 4, 5, 6)]


def colours(shape=SHAPE, seed=0):
    """Pink on white, as stained tissue is, with noise."""
    rng = np.random.default_rng(seed)
    stain = rng.random((*shape, 1)) * (rng.random((shape[0], 1, 1)) < 0.6)
    rgb = 235 - stain * np.array([40.0, 190.0, 110.0]) + rng.normal(0, 4, (*shape, 3))
    return np.clip(rgb, 0, 255).astype(np.uint8)


def grey(shape=SHAPE, seed=0):
    values = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return np.repeat(values[..., None], 3, axis=2)


def whole(image, name):
    return shown_crop(image, (0, 0, image.shape[1], image.shape[0]), name)


@pytest.mark.parametrize("name", VERSIONS)
def test_every_crop_is_a_part_of_the_same_picture(name):
    image = Micrograph(colours())
    picture = whole(image, name)
    assert (picture.shape, picture.dtype) == ((*SHAPE, 3), np.uint8)
    for box in CROPS:
        x0, y0, x1, y1 = box
        alone = shown_crop(Micrograph(image.rgb), box, name)  # nothing known of the plane yet
        assert alone.flags.c_contiguous
        np.testing.assert_array_equal(alone, picture[y0:y1, x0:x1])


@pytest.mark.parametrize("name", ["inverted", "smoothed", "main_colour"])
def test_a_plane_that_is_read_window_by_window_looks_the_same(name):
    rows = LARGE_PIXELS // 2000 + 2
    rgb = colours((rows, 2000))
    large = LoadedImage(rgb, name="large", rgb=True).prepare()
    assert large.is_large
    box = (700, 900, 760, 940)
    expected = whole(Micrograph(large.pixels), name)[900:940, 700:760]
    np.testing.assert_array_equal(shown_crop(large, box, name), expected)


def test_the_original_is_the_image_and_its_negative_is_undone_by_another():
    image = Micrograph(colours())
    np.testing.assert_array_equal(whole(image, "original"), image.pixels)
    np.testing.assert_array_equal(inverted(inverted(image.pixels)), image.pixels)
    assert whole(image, "inverted")[0, 0, 0] == 255 - int(image.pixels[0, 0, 0])


def test_smoothing_lowers_noise_and_keeps_flat_regions():
    flat = np.full((40, 40, 3), 77, dtype=np.uint8)
    np.testing.assert_array_equal(smoothed(flat), flat)
    noisy = grey()
    # Of white noise, a Gaussian leaves 1 / (2 sqrt(pi) sigma) of the standard deviation.
    share = smoothed(noisy)[10:-10, 10:-10].std() / noisy.std()
    assert share == pytest.approx(1 / (2 * np.sqrt(np.pi) * SIGMA), rel=0.1)
    assert round(4 * SIGMA) == REACH


def test_local_contrast_makes_a_faint_corner_as_clear_as_the_rest():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (160, 160)).astype(float)
    values[:60, :60] = 100 + values[:60, :60] / 50
    rgb = np.repeat(values.astype(np.uint8)[..., None], 3, axis=2)
    after = local_contrast(rgb)
    gained = after[10:30, 10:30].std() / rgb[10:30, 10:30].std()
    assert gained > 2 > after[80:, 80:].std() / rgb[80:, 80:].std()
    assert (after[..., 0] == after[..., 2]).all()
    flat = np.full((40, 40, 3), 77, dtype=np.uint8)
    np.testing.assert_array_equal(local_contrast(flat), flat)


def test_local_contrast_keeps_colours():
    rgb = colours()
    after = local_contrast(rgb)
    assert not np.array_equal(after, rgb)
    bright = (rgb.max(axis=2) > 100) & (after.max(axis=2) > 100)
    before, now = (x[bright] / x[bright].max(axis=1, keepdims=True) for x in (rgb, after))
    assert np.ptp(before) > 0.5
    np.testing.assert_allclose(now, before, atol=0.01)


def test_the_main_colour_is_the_stain_and_bright_stays_bright():
    image = Micrograph(colours())
    colour = MainColour.of(image)
    stain = np.array([40.0, 190.0, 110.0])
    assert colour.axis @ (stain / np.linalg.norm(stain)) > 0.99
    shown = whole(image, "main_colour")
    assert (shown[..., 0] == shown[..., 1]).all()
    assert np.corrcoef(shown[..., 0].ravel(), image.pixels[..., 1].ravel())[0, 1] > 0.99


def test_a_grey_image_has_no_main_colour():
    with pytest.raises(UserError, match="grey and has no main colour: show it to SAM"):
        whole(Micrograph(grey()), "main_colour")


def test_local_contrast_of_a_plane_that_does_not_fit_is_refused(monkeypatch):
    monkeypatch.setattr("napari_samstar.core.memory.MAX_SHARE", 0.0)
    with pytest.raises(UserError, match=r"Local contrast would need about .*crop the image"):
        whole(Micrograph(grey()), "local_contrast")


def test_an_unknown_version_is_named():
    with pytest.raises(UserError, match="no shown='sepia': an image is shown as one of original"):
        whole(Micrograph(grey()), "sepia")


def test_the_command_line_offers_all_of_them():
    assert [str(name) for name in Shown] == list(VERSIONS)
