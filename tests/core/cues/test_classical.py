"""Classical segmentation of images whose objects are known."""

from __future__ import annotations

import numpy as np
import pytest

from napari_samstar.core.cues.classical import MIN_AREA, classical_segmentations, windows

SHAPE = (160, 240)
APART = ((30, 30, 10), (30, 90, 12), (35, 150, 9), (90, 40, 11), (100, 120, 13), (110, 200, 10))
TOUCHING = ((60, 60, 15), (60, 88, 15), (60, 170, 15))


def painted(discs, background=60, height=100, noise=6.0, shape=SHAPE):
    """Return a grey uint8 RGB image of discs (row, col, radius), and their true labels."""
    rows, cols = np.indices(shape)
    labels = np.zeros(shape, int)
    for k, (row, col, radius) in enumerate(discs, start=1):
        labels[(rows - row) ** 2 + (cols - col) ** 2 <= radius**2] = k
    grey = np.random.default_rng(0).normal(background, noise, shape) + height * (labels > 0)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, 2), labels


def of(found, method, polarity):
    one = [s for s in found if (s.method, s.polarity) == (method, polarity)]
    return one[0] if one else None


def best_ious(labels, truth):
    """Return the highest IoU of any object of `labels` with each true one."""
    table = np.zeros((truth.max() + 1, labels.max() + 1))
    np.add.at(table, (truth.ravel(), labels.ravel()), 1)
    union = table.sum(1, keepdims=True) + table.sum(0, keepdims=True) - table
    return (table / union)[1:, 1:].max(axis=1, initial=0)


@pytest.mark.parametrize("method", ["otsu", "spots"])
@pytest.mark.parametrize(
    ("polarity", "background", "height"), [("bright", 60, 100), ("dark", 180, -100)]
)
def test_discs_of_both_polarities_are_found_by_both_methods(method, polarity, background, height):
    rgb, truth = painted(APART, background, height)
    found = of(classical_segmentations(rgb), method, polarity)
    assert len(found) == len(APART)
    assert (best_ious(found.labels, truth) > 0.85).all()
    np.testing.assert_allclose(found.contrast, 100 / 255, rtol=0.3)


def test_touching_discs_are_split():
    rgb, truth = painted(TOUCHING)
    found = of(classical_segmentations(rgb), "otsu", "bright")
    assert len(found) == 3
    assert (best_ious(found.labels, truth) > 0.8).all()


def test_the_background_is_no_object_of_the_other_polarity():
    found = classical_segmentations(painted(APART)[0])
    assert of(found, "otsu", "bright") is not None
    assert of(found, "otsu", "dark") is None


def test_uneven_illumination_hides_no_disc():
    rgb, truth = painted(APART, background=40, height=60)
    slope = np.linspace(0, 100, SHAPE[1])[None, :, None]
    tilted = np.clip(rgb + slope, 0, 255).astype(np.uint8)
    found = classical_segmentations(tilted)
    for method in ("otsu", "spots"):
        assert (best_ious(of(found, method, "bright").labels, truth) > 0.8).all()


@pytest.mark.parametrize(
    "grey",
    [
        np.full((90, 120), 77),
        np.zeros((1, 1)),
        np.zeros((3, 50)),
        np.random.default_rng(0).normal(128, 20, (256, 256)),
    ],
    ids=["flat", "one pixel", "thin", "noise"],
)
def test_an_image_without_objects_gives_nothing(grey):
    rgb = np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, 2)
    assert sum(map(len, classical_segmentations(rgb))) == 0


def test_a_huge_object_is_found_beside_nothing_larger():
    rgb, truth = painted(((80, 120, 62),))
    found = of(classical_segmentations(rgb), "otsu", "bright")
    assert best_ious(found.labels, truth)[0] > 0.9


def test_levels_basins_and_windows_agree():
    for found in classical_segmentations(painted(APART)[0]):
        assert (found.basins.max(), len(windows(found))) == (len(found), len(found))
        inside = found.labels > 0
        assert (found.levels[inside] > 0).all()
        assert (found.basins[inside] == found.labels[inside]).all()
        assert np.bincount(found.labels.ravel())[1:].min() >= MIN_AREA
        for k, window in enumerate(windows(found), start=1):
            outside = found.basins == k
            outside[window] = False
            assert not outside.any()


def test_a_grey_image_gives_what_its_copy_in_three_channels_gives():
    rgb, _ = painted(APART)
    one, three = classical_segmentations(rgb[..., 0]), classical_segmentations(rgb)
    assert len(one) == len(three)
    for ours, theirs in zip(one, three, strict=True):
        np.testing.assert_array_equal(ours.labels, theirs.labels)
