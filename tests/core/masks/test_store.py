from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_samstar.core.masks.store import MaskStore, PackedMask, canvas_of, count, pack, unpack
from tests.core.painted import add

shapes = st.tuples(st.integers(1, 40), st.integers(1, 200))


def random_masks(shape, seed, n=4):
    """Return `n` random masks in random windows of an image."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((n, *shape), dtype=bool)
    for mask in masks:
        r0, r1 = sorted(rng.integers(0, shape[0] + 1, 2))
        c0, c1 = sorted(rng.integers(0, shape[1] + 1, 2))
        mask[r0:r1, c0:c1] = rng.random((r1 - r0, c1 - c0)) < 0.4
    return masks


@given(shapes, st.integers(0, 1000))
def test_stored_masks_are_returned_unchanged(shape, seed):
    masks = random_masks(shape, seed)
    store = MaskStore(shape)
    ids = add(store, masks).tolist()
    assert ids == [0, 1, 2, 3]
    assert store.areas(ids).tolist() == masks.sum(axis=(1, 2)).tolist()
    for i, mask in zip(ids, masks, strict=True):
        assert np.array_equal(store.dense(i), mask)
        assert store[i].bit_window.area == store[i].area


@given(shapes, st.integers(0, 1000))
def test_overlap_and_union_equal_those_of_dense_arrays(shape, seed):
    masks = random_masks(shape, seed)
    store = MaskStore(shape)
    ids = add(store, masks).tolist()
    for i in ids:
        for j in ids:
            assert store.overlap(i, j) == (masks[i] & masks[j]).sum()
    assert np.array_equal(store.union(ids), canvas_of(masks.any(axis=0)))
    assert count(store.union([])) == 0


@given(shapes, st.integers(0, 1000))
def test_boxes_are_tight_and_half_open(shape, seed):
    store = MaskStore(shape)
    (mask,) = random_masks(shape, seed, 1)
    (box,) = store.boxes(add(store, [mask]).tolist()).tolist()
    if not mask.any():
        assert box == [0, 0, 0, 0]
        return
    r0, c0, r1, c1 = box
    assert mask[r0:r1, c0:c1].sum() == mask.sum()
    assert mask[r0, c0:c1].any()
    assert mask[r1 - 1, c0:c1].any()
    assert mask[r0:r1, c0].any()
    assert mask[r0:r1, c1 - 1].any()


@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 99))
def test_pack_and_unpack_are_inverse(rows, words, seed):
    bits = np.random.default_rng(seed).random((rows, 64 * words)) < 0.5
    assert np.array_equal(unpack(pack(bits)), bits)
    assert count(pack(bits)) == bits.sum()


def test_distant_masks_do_not_intersect():
    store = MaskStore((300, 300))
    near, far = (np.zeros((300, 300), dtype=bool) for _ in range(2))
    near[:9, :9] = far[200:, 200:] = True
    i, j = add(store, [near, far]).tolist()
    assert store[i].bit_window.intersection(store[j].bit_window) is None
    assert store.overlap(i, j) == 0


def test_an_empty_mask_has_an_empty_box_and_window():
    empty = PackedMask.tight(np.zeros((5, 7), dtype=bool), 3, 4)
    assert empty.box == (0, 0, 0, 0)
    store = MaskStore((9, 90))
    (mask_id,) = store.extend([empty])
    assert store.window(mask_id).shape == (0, 0)


def test_memory_is_proportional_to_the_area_of_the_boxes():
    store = MaskStore((1024, 1024))
    mask = np.zeros((1024, 1024), dtype=bool)
    mask[100:164, 128:192] = True
    add(store, [mask])
    assert store.nbytes == pytest.approx(64 * 64 / 8)
