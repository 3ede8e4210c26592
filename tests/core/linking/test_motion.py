from __future__ import annotations

import numpy as np
import pytest

from napari_samstar.core.linking.motion import common_shift, expected, within_reach
from napari_samstar.core.linking.overlap import PlaneObjects


def scattered(shape, seed=0, n=40):
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, int)
    for k in range(n):
        row, col = rng.integers(0, shape[0] - 12), rng.integers(0, shape[1] - 12)
        labels[row : row + 12, col : col + 9] = k + 1
    return labels


@pytest.mark.parametrize("shift", [(0, 0), (7, -11), (-25, 30)])
def test_the_shift_of_a_plane_is_found_exactly(shift):
    large = scattered((300, 300), n=120)
    before = large[60:240, 60:240]
    after = large[60 - shift[0] : 240 - shift[0], 60 - shift[1] : 240 - shift[1]]
    assert common_shift(PlaneObjects.of(before), PlaneObjects.of(after)) == shift


def test_the_shift_of_a_large_plane_is_found_to_a_few_pixels():
    large = scattered((1500, 1500), n=1500)
    before, after = large[:1400, :1400], large[60:1460, 90:1490]
    found = common_shift(PlaneObjects.of(before), PlaneObjects.of(after))
    assert np.abs(np.subtract(found, (-60, -90))).max() <= 3


def test_empty_planes_have_no_shift():
    empty = PlaneObjects.of(np.zeros((30, 30), int))
    assert common_shift(empty, empty) == (0, 0)


def test_an_object_is_expected_to_move_as_its_neighbours_did():
    objects = PlaneObjects.of(scattered((200, 200), n=30))
    linked = np.arange(6)
    at = expected(objects, (0, 0), linked, np.tile([3.0, -2.0], (6, 1)))
    assert at - objects.centroids == pytest.approx(np.tile([3.0, -2.0], (len(objects), 1)))


def test_with_few_neighbours_an_object_is_expected_to_move_as_the_plane_did():
    objects = PlaneObjects.of(scattered((200, 200), n=30))
    at = expected(objects, (4, 1), np.arange(2), np.full((2, 2), 50.0))
    assert (at == np.add(objects.centroids, (4, 1))).all()


def test_reach_is_relative_to_size_and_areas_must_be_similar():
    at, to = np.array([[0.0, 0.0]]), np.array([[0.0, 10.0], [0.0, 0.0], [0.0, 30.0]])
    areas = np.array([100]), np.array([100, 1000, 100])
    i, j, score = within_reach(at, areas, to, reach=1.5)
    assert (i.tolist(), j.tolist()) == ([0], [0])
    assert score == pytest.approx([1 - 1 / 1.5])
