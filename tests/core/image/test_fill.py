"""Constant borders do not set the contrast."""

from __future__ import annotations

import numpy as np
import pytest

from napari_samstar.core.image import large
from napari_samstar.core.image.fill import find_fill
from napari_samstar.core.image.mapping import ImageMapping
from napari_samstar.core.image.prepare import prepare


def scene(dtype="uint16", low=3000, high=3600) -> np.ndarray:
    """Return a noisy image of some bright squares."""
    rng = np.random.default_rng(0)
    image = rng.normal(low + 50, 10, (120, 160))
    for row, col in ((20, 30), (60, 90), (90, 130)):
        image[row : row + 15, col : col + 15] = high
    return image.clip(low, high).astype(dtype)


def strip(image):
    image[:, :9] = 0


def corners(image):
    rows, cols = np.indices(image.shape[:2])
    for row, col in ((0, 0), (0, 159), (119, 0), (119, 159)):
        image[abs(rows - row) + abs(cols - col) < 20] = 0


def two_values(image):
    image[:, :9] = 0
    image[-9:, 20:] = 65535


@pytest.mark.parametrize("put", [strip, corners, two_values])
def test_a_filled_border_leaves_the_contrast_as_it_is(put):
    image, plain = scene(), scene()
    put(image)
    inside = (image == plain)[..., None]
    found = prepare(image)
    assert not found.rgb[~inside[..., 0]].any()
    assert not prepare(image, ImageMapping(invert=True)).rgb[~inside[..., 0]].any()
    difference = np.abs(found.rgb.astype(int) - prepare(plain).rgb) * inside
    assert difference.max() <= 3
    assert any("fill value" in note and "does not count" in note for note in found.notes)


@pytest.mark.parametrize("value", [-9999.0, -3.4e38, 1e30, 0.0])
def test_no_data_constants_of_floats(value):
    image = scene("float32", 0.5e3, 1e3)
    image[:, -12:] = value
    assert find_fill(image).values == (np.float32(value),)


def test_colour_and_a_mosaic():
    image = np.repeat(scene("uint8", 60, 200)[..., None], 3, axis=2)
    image[:40, :50] = 0
    fill = find_fill(image)
    assert fill.values == (0,)
    assert fill.mask.sum() == 40 * 50


def clipped_background(image):
    image[image < 3060] = 0  # dark everywhere, also between the objects


def saturated_object_at_the_corner(image):
    image[:30, :30] = image.max()


def few_pixels(image):
    image[0, :5] = 0


def objects_on_a_constant(image):
    image[image < 3300] = 0
    image[image > 0] += np.arange((image > 0).sum(), dtype=np.uint16) % 50


@pytest.mark.parametrize(
    "put", [clipped_background, objects_on_a_constant, saturated_object_at_the_corner, few_pixels]
)
def test_what_is_no_fill_counts(put):
    image = scene()
    put(image)
    assert find_fill(image) is None


def test_binary_masks_and_constant_images_have_no_fill():
    mask = np.zeros((50, 60), dtype=np.uint8)
    mask[10:20, 10:20] = 255
    assert find_fill(mask) is None
    assert find_fill(mask > 0) is None
    assert find_fill(np.full((20, 20), 7)) is None


def test_limits_are_left_alone():
    image = scene()
    strip(image)
    found = prepare(image, ImageMapping(stretch="limits", limits=(0, 65535)))
    assert not any("fill" in note for note in found.notes)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_large_planes_too(monkeypatch, dtype):
    image = scene(dtype)
    strip(image)
    whole = prepare(image)
    monkeypatch.setattr(large, "LARGE_PIXELS", 1000)
    found = prepare(image)
    assert found.is_large
    assert found.notes == whole.notes
    np.testing.assert_array_equal(found.pixels, whole.pixels)
