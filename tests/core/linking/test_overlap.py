from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from napari_samstar.core.errors import UserError
from napari_samstar.core.linking.overlap import Overlaps, PlaneObjects, one_to_one


def random_labels(seed, shape=(13, 17), n=6):
    return np.random.default_rng(seed).integers(0, n, shape)


@given(seed=st.integers(0, 500))
def test_objects_are_numbered_by_their_first_pixel(seed):
    labels = random_labels(seed)
    objects = PlaneObjects.of(labels)
    firsts = [np.flatnonzero(objects.labels == k)[0] for k in range(1, len(objects) + 1)]
    assert firsts == sorted(firsts)
    for k in range(1, len(objects) + 1):
        own = labels[objects.labels == k]
        assert (own == own[0]).all()
        assert len(own) == (labels == own[0]).sum() == objects.areas[k - 1]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint64])
def test_ids_and_their_type_do_not_matter(dtype):
    labels = random_labels(0)
    renamed = np.array([0, 90, 3, 77, 5, 120])[labels].astype(dtype)
    assert (PlaneObjects.of(labels).labels == PlaneObjects.of(renamed).labels).all()


def test_ids_may_be_larger_than_the_number_of_pixels():
    labels = random_labels(0)
    assert (PlaneObjects.of(labels).labels == PlaneObjects.of(labels * 10**9).labels).all()


def test_an_empty_plane_has_no_objects():
    objects = PlaneObjects.of(np.zeros((4, 5), np.int32))
    assert len(objects) == 0
    assert objects.windows == []
    assert objects.centroids.shape == (0, 2)


def test_centroids_and_windows_of_a_rectangle():
    labels = np.zeros((9, 9), int)
    labels[2:5, 3:8] = 4
    objects = PlaneObjects.of(labels)
    assert objects.centroids.tolist() == [[3.0, 5.0]]
    assert objects.windows == [(slice(2, 5), slice(3, 8))]


@pytest.mark.parametrize(
    "labels", [np.zeros((2, 3, 4), int), np.zeros((3, 3)), np.full((2, 2), -1)]
)
def test_what_is_no_label_image_is_refused(labels):
    with pytest.raises(UserError):
        PlaneObjects.of(labels)


@given(seed=st.integers(0, 300), rows=st.integers(-15, 15), cols=st.integers(-19, 19))
def test_overlaps_are_those_of_masks_that_were_moved(seed, rows, cols):
    before, after = PlaneObjects.of(random_labels(seed)), PlaneObjects.of(random_labels(seed + 1))
    found = Overlaps.of(before, after, (rows, cols))
    shared = {}
    for r, c in np.argwhere(before.labels):
        if 0 <= r + rows < 13 and 0 <= c + cols < 17 and after.labels[r + rows, c + cols]:
            pair = before.labels[r, c] - 1, after.labels[r + rows, c + cols] - 1
            shared[pair] = shared.get(pair, 0) + 1
    assert set(zip(found.before.tolist(), found.after.tolist(), strict=True)) == set(shared)
    for i, j, iou, one, two in zip(
        found.before, found.after, found.iou, found.of_before, found.of_after, strict=True
    ):
        n, a, b = shared[i, j], before.areas[i], after.areas[j]
        assert (iou, one, two) == pytest.approx((n / (a + b - n), n / a, n / b))


def test_an_object_gives_way_where_the_sum_of_scores_is_greater():
    before, after = np.array([0, 0, 1]), np.array([0, 1, 0])
    assert one_to_one(before, after, np.array([0.6, 0.5, 0.4])).tolist() == [1, 2]
    assert one_to_one(before, after, np.array([0.9, 0.4, 0.3])).tolist() == [0]


@given(seed=st.integers(0, 500))
def test_the_sum_of_scores_is_the_greatest_one(seed):
    rng = np.random.default_rng(seed)
    table = rng.random((6, 8)) * (rng.random((6, 8)) < 0.4)
    before, after = np.nonzero(table)
    kept = one_to_one(before + 3, after * 10, table[before, after])
    assert len(set(before[kept])) == len(set(after[kept])) == len(kept)
    best = table[optimize.linear_sum_assignment(table, maximize=True)].sum()
    assert table[before, after][kept].sum() == pytest.approx(best)


def test_no_pairs_give_no_pairs():
    nothing = np.zeros(0, int)
    assert one_to_one(nothing, nothing, np.zeros(0)).tolist() == []
