from __future__ import annotations

import numpy as np

from napari_samstar.core.image.micrograph import Micrograph
from napari_samstar.core.rewards.marks import Marks
from napari_samstar.core.tuning.regions import part_image, parts_to_search


def image(rows=900, cols=1100):
    """Noise that grows from left to right."""
    noise = np.random.default_rng(0).normal(size=(rows, cols)) * np.linspace(1, 60, cols)
    gray = (100 + noise).clip(0, 255).astype(np.uint8)
    return Micrograph(gray[..., np.newaxis].repeat(3, axis=2), (2.0, 2.0), "nm", "grown")


def test_an_image_of_few_tiles_is_searched_as_a_whole():
    assert parts_to_search(image(), 512, 0.0) == ()
    assert parts_to_search(image(), 512, 0.7) == ()


def test_regions_lie_apart_in_the_image_and_two_are_held_out():
    found = parts_to_search(image(), 256, 1.5)
    assert [region.held_out for region in found] == [False, True, False, True]
    covered = np.zeros((900, 1100), int)
    for region in found:
        x0, y0, x1, y1 = region.box
        assert 0 <= x0 < x1 <= 1100
        assert 0 <= y0 < y1 <= 900
        covered[y0:y1, x0:x1] += 1
    assert covered.max() == 1
    assert parts_to_search(image(), 256, 1.5) == found
    contrast = [image().crop(region.box)[::4, ::4].std() for region in found]
    assert contrast == sorted(contrast, reverse=True)


def test_a_region_is_an_image_with_its_marks_and_its_truth():
    whole = image()
    region = parts_to_search(whole, 256, 1.5)[1]
    x0, y0, x1, y1 = region.box
    truth = np.arange(900 * 1100).reshape(900, 1100)
    points = np.array([[y0, x0], [y0 - 1, x0], [y1 - 1, x1 - 1], [y1, x1]], float)
    area = np.zeros((900, 1100), bool)
    area[y0 + 5] = True
    made = part_image(whole, region, Marks(points=points, region=area), truth)
    prepared = made.image.prepare()
    np.testing.assert_array_equal(prepared.pixels, whole.crop(region.box))
    assert (prepared.pixel_size, prepared.unit) == ((2.0, 2.0), "nm")
    assert made.held_out
    np.testing.assert_array_equal(made.truth, truth[y0:y1, x0:x1])
    assert made.marks.points.tolist() == [[0, 0], [y1 - y0 - 1, x1 - x0 - 1]]
    assert np.flatnonzero(made.marks.region.any(axis=1)).tolist() == [5]
    made.marks.check(prepared.shape)
