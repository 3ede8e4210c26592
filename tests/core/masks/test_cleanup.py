from __future__ import annotations

import numpy as np
import pytest
from segment_anything.utils.amg import remove_small_regions

from napari_samstar.core.masks.cleanup import Cleaner
from napari_samstar.core.masks.store import MaskStore
from tests.core.painted import add, rectangle

AREAS = (1, 2, 5, 9, 20, 60, 150, 700, 4000)


def segment_anything_result(mask, area):
    mask, filled = remove_small_regions(mask, area, mode="holes")
    mask, dropped = remove_small_regions(mask, area, mode="islands")
    return mask, filled or dropped


def random_mask(seed, shape=(48, 60)):
    """Return a mask with many holes and islands, in a random part of the image."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(shape, dtype=bool)
    r0, c0 = rng.integers(0, 20, 2)
    r1, c1 = rng.integers(21, shape[0] + 1), rng.integers(21, shape[1] + 1)
    mask[r0:r1, c0:c1] = rng.random((r1 - r0, c1 - c0)) < rng.choice([0.2, 0.5, 0.8])
    if rng.random() < 0.3:
        mask[10] = True  # splits the background
    return mask


@pytest.mark.parametrize("seed", range(30))
def test_results_equal_segment_anything_in_any_order_of_thresholds(seed):
    mask = random_mask(seed)
    store = MaskStore(mask.shape)
    (mask_id,) = add(store, [mask]).tolist()
    cleaner = Cleaner(store)
    for area in np.random.default_rng(seed).permutation(AREAS).tolist():
        expected, changed = segment_anything_result(mask, area)
        new, reported = cleaner.clean(mask_id, area)
        assert np.array_equal(store.dense(new), expected)
        assert reported == changed
        assert (new == mask_id) or reported


def test_equal_results_are_stored_once():
    store = MaskStore((40, 40))
    mask = rectangle((40, 40), 5, 5, 30, 30)
    mask[10:12, 10:12] = False
    mask[35, 35] = True
    (mask_id,) = add(store, [mask]).tolist()
    cleaner = Cleaner(store)
    results = {cleaner.clean(mask_id, area)[0] for area in (6, 7, 50, 100)}
    assert len(results) == 1
    assert len(store) == 2
    assert cleaner.clean(mask_id, 1) == (mask_id, False)


def test_of_equal_largest_islands_the_same_is_kept_as_in_segment_anything():
    mask = rectangle((40, 50), 3, 30, 8, 35) | rectangle((40, 50), 20, 4, 25, 9)
    store = MaskStore(mask.shape)
    (mask_id,) = add(store, [mask]).tolist()
    expected, _ = segment_anything_result(mask, 100)
    assert np.array_equal(store.dense(Cleaner(store).clean(mask_id, 100)[0]), expected)


@pytest.mark.parametrize("area", [10, 5000])
def test_an_empty_mask_is_cleaned_as_in_segment_anything(area):
    mask = np.zeros((40, 50), dtype=bool)
    store = MaskStore(mask.shape)
    (mask_id,) = add(store, [mask]).tolist()
    expected, changed = segment_anything_result(mask, area)
    new, reported = Cleaner(store).clean(mask_id, area)
    assert np.array_equal(store.dense(new), expected)
    assert reported == changed
