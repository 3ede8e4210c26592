"""Objects of overlapping tiles become objects of the image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_samstar.core.image.tiles import tiles_of
from napari_samstar.core.masks.stitch import TileMasks, stitch, union
from napari_samstar.core.masks.store import MaskStore, PackedMask
from tests.core.painted import disc, rectangle

SHAPE = (150, 300)
SIDE = 120  # px of a tile; halo 15 px
MARGIN = 2
TILES = tiles_of(SHAPE, 512, 512 / SIDE)


def seen(objects, tiles=TILES, shape=SHAPE, scores=None):
    """The masks of all tiles: each shows what lies in it of each object, (mask, tile) pairs."""
    pieces, where = [], []
    for tile in tiles:
        x0, y0, x1, y1 = tile.box
        for mask in objects:
            part = np.zeros(shape, dtype=bool)
            part[y0:y1, x0:x1] = mask[y0:y1, x0:x1]
            if part.any():
                pieces.append(part)
                where.append(tile)
    return collected(pieces, where, shape, scores)


def collected(pieces, where, shape=SHAPE, scores=None):
    store = MaskStore(shape)
    ids = store.extend([PackedMask.tight(piece, 0, 0) for piece in pieces])
    return TileMasks(
        store,
        np.array(ids, dtype=np.int64),
        np.array([tile.box for tile in where], dtype=np.int64).reshape(-1, 4),
        np.array([tile.core for tile in where], dtype=np.int64).reshape(-1, 4),
        np.ones(len(pieces)) if scores is None else np.asarray(scores, dtype=float),
        MARGIN,
    )


def drawn(masks):
    """The stitched objects as masks of the image, as bytes in a fixed order."""
    return sorted(object_of(masks, group).tobytes() for group in stitch(masks))


def object_of(masks, group):
    image = np.zeros(masks.store.shape, dtype=bool)
    for k in group:
        image |= masks.store.dense(int(masks.ids[k]))
    return image


def as_bytes(objects):
    return sorted(mask.tobytes() for mask in objects)


def seam():
    """Column of the first seam, and the columns that both of its tiles show."""
    first, second = TILES[0], next(t for t in TILES if t.box[0] > 0)
    return first.core[2], (second.box[0], first.box[2])


def test_the_tiles_of_these_tests_overlap_along_both_axes():
    assert len({t.box[0] for t in TILES}) == 3
    assert len({t.box[1] for t in TILES}) == 2


def test_nothing_gives_nothing():
    assert stitch(seen([])) == []


def test_an_object_that_several_tiles_show_whole_is_kept_once():
    col, _ = seam()
    mask = disc(SHAPE, 75, col, 8)
    masks = seen([mask])
    assert len(masks.ids) == 4
    assert not masks.is_cut().any()
    assert drawn(masks) == as_bytes([mask])


def test_of_two_whole_ones_that_of_the_core_is_kept_then_the_better():
    col, _ = seam()
    left, right = TILES[0], TILES[1]
    inside, beside = disc(SHAPE, 40, col - 5, 8), disc(SHAPE, 40, col - 5, 9)
    pair = collected([beside, inside], [right, left], scores=[0.99, 0.5])
    assert stitch(pair) == [(1,)]
    # The same tile pair, but both middles outside their cores: now the score decides.
    tile = next(t for t in TILES if t.box[0] == right.box[0] and t.box[1] > 0)
    pair = collected([beside, inside], [tile, right], scores=[0.5, 0.99])
    assert not pair.in_core().any()
    assert stitch(pair) == [(1,)]


def test_a_piece_of_an_object_that_another_tile_shows_whole_is_dropped():
    _, (start, end) = seam()
    mask = rectangle(SHAPE, 30, start - 20, 50, end - 5)  # the second tile shows a part
    masks = seen([mask])
    assert masks.is_cut().tolist() == [False, True, True, True]
    assert drawn(masks) == as_bytes([mask])


def test_touching_objects_that_only_one_tile_shows_whole_come_back_as_they_are():
    _, (start, end) = seam()
    whole = [rectangle(SHAPE, 30, start - 20, 40, end - 5),
             rectangle(SHAPE, 40, start - 20, 50, end - 5)]  # fmt: skip
    assert drawn(seen(whole)) == as_bytes(whole)


@pytest.mark.parametrize("end", [200, 300])
def test_an_object_that_every_tile_cuts_is_joined(end):
    mask = rectangle(SHAPE, 40, 10, 80, end)
    masks = seen([mask])
    assert masks.is_cut().all()
    assert len(masks.ids) >= 2
    assert drawn(masks) == as_bytes([mask])


def test_an_object_larger_than_a_tile_in_both_directions_is_joined():
    mask = disc(SHAPE, 75, 150, 70) | rectangle(SHAPE, 60, 20, 90, 280)
    masks = seen([mask])
    (group,) = stitch(masks)
    assert len(group) == len(TILES)
    assert (object_of(masks, group) == mask).all()


def test_an_object_at_the_border_of_the_image_is_not_cut_there():
    mask = rectangle(SHAPE, 0, 0, 20, 30)
    masks = seen([mask])
    assert not masks.is_cut()[0]
    assert drawn(masks) == as_bytes([mask])


def test_neighbours_that_touch_at_a_seam_stay_apart():
    col, _ = seam()
    pair = [rectangle(SHAPE, 30, col - 12, 60, col), rectangle(SHAPE, 30, col, 60, col + 12)]
    assert drawn(seen(pair)) == as_bytes(pair)


def test_neighbours_that_touch_and_are_cut_in_every_tile_stay_apart():
    rows = [rectangle(SHAPE, 20 * k, 5, 20 * (k + 1), 295) for k in range(6)]
    assert drawn(seen(rows)) == as_bytes(rows)


def test_a_small_object_on_a_large_one_is_not_lost_in_it():
    col, _ = seam()
    large, small = rectangle(SHAPE, 20, 5, 120, 295), disc(SHAPE, 60, col, 8)
    assert drawn(seen([large, small])) == as_bytes([large, small])


def test_two_masks_of_one_tile_are_never_taken_for_the_same_object():
    tile = TILES[0]
    one, other = disc(SHAPE, 50, 50, 10), disc(SHAPE, 50, 51, 10)
    assert stitch(collected([one, other], [tile, tile])) == [(0,), (1,)]


def test_a_piece_that_only_one_tile_has_is_kept_where_it_reaches_the_core():
    tile = TILES[0]
    x1, core_x1 = tile.box[2], tile.core[2]
    outside = rectangle(SHAPE, 20, core_x1, 60, x1)  # a sliver: the next tile sees far more
    across = rectangle(SHAPE, 20, core_x1 - 5, 60, x1)
    inside = rectangle(SHAPE, 20, x1 - 60, 60, x1)
    assert stitch(collected([outside], [tile])) == []
    assert stitch(collected([across], [tile])) == [(0,)]
    assert stitch(collected([inside], [tile])) == [(0,)]


def test_a_piece_that_other_tiles_objects_cover_is_dropped():
    left, right = TILES[0], TILES[1]
    x1 = left.box[2]
    piece = rectangle(SHAPE, 20, x1 - 30, 40, x1)
    whole = [rectangle(SHAPE, 20, x1 - 28, 30, x1 + 10), rectangle(SHAPE, 30, x1 - 28, 40, x1 + 10)]
    one_of_them = collected([piece, whole[0]], [left, right])
    both = collected([piece, *whole], [left, right, right])
    # One object covers a little less than half of the piece, both together nearly all of it.
    assert one_of_them.is_cut().tolist() == [True, False]
    assert stitch(one_of_them) == [(0,), (1,)]
    assert stitch(both) == [(1,), (2,)]


def test_a_piece_is_not_dropped_for_objects_of_its_own_tile():
    tile = TILES[0]
    x1 = tile.box[2]
    piece, around = rectangle(SHAPE, 30, x1 - 40, 60, x1), rectangle(SHAPE, 20, 20, 70, x1)
    assert stitch(collected([piece, around], [tile, tile])) == [(0,), (1,)]


def grains(seed, n=25):
    """Grains that fill the image."""
    rng = np.random.default_rng(seed)
    seeds = np.ones(SHAPE, dtype=bool)
    at = rng.uniform((0, 0), SHAPE, (n, 2)).astype(int)
    seeds[at[:, 0], at[:, 1]] = False
    nearest = ndimage.distance_transform_edt(seeds, return_distances=False, return_indices=True)
    codes = nearest[0] * SHAPE[1] + nearest[1]
    return [codes == code for code in np.unique(codes)]


@pytest.mark.parametrize("seed", range(6))
def test_grains_that_fill_the_image_come_back_as_they_are(seed):
    truth = grains(seed)
    assert drawn(seen(truth)) == as_bytes(truth)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 3))
def test_the_outcome_does_not_depend_on_the_order_of_the_masks(seed, levels):
    rng = np.random.default_rng(seed)
    objects = [disc(SHAPE, *rng.uniform((0, 0), SHAPE), rng.uniform(4, 60)) for _ in range(8)]
    masks = seen([mask for mask in objects if mask.any()])
    n = len(masks.ids)
    scores = rng.integers(0, levels, n) / levels  # with ties
    order = rng.permutation(n)
    first = TileMasks(masks.store, masks.ids, masks.tiles, masks.cores, scores, MARGIN)
    again = TileMasks(masks.store, masks.ids[order], masks.tiles[order], masks.cores[order],
                      scores[order], MARGIN)  # fmt: skip
    there = sorted(tuple(sorted(masks.ids[list(group)].tolist())) for group in stitch(first))
    back = sorted(tuple(sorted(again.ids[list(group)].tolist())) for group in stitch(again))
    assert drawn(first) == drawn(again)
    assert there == back


def test_objects_come_in_the_order_of_their_first_masks():
    truth = grains(0)
    groups = stitch(seen(truth))
    assert groups == sorted(groups)
    assert all(group == tuple(sorted(group)) for group in groups)


@pytest.mark.parametrize("seed", range(4))
def test_a_union_is_that_of_the_masks(seed):
    rng = np.random.default_rng(seed)
    pieces = [disc(SHAPE, *rng.uniform((0, 0), SHAPE), rng.uniform(3, 40)) for _ in range(4)]
    store = MaskStore(SHAPE)
    ids = list(store.extend([PackedMask.tight(piece, 0, 0) for piece in pieces]))
    (joined,) = store.extend([union(store, ids)])
    np.testing.assert_array_equal(store.dense(joined), np.any(pieces, axis=0))
    rows, cols = np.nonzero(np.any(pieces, axis=0))
    assert store[joined].box == (rows.min(), cols.min(), rows.max() + 1, cols.max() + 1)
