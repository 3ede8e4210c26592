"""How an image is cut into tiles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_samstar.core.image.tiles import HALO, tile_side, tiles_of

FRAME = 512  # px

lengths = st.integers(1, 400)
sides = st.integers(2, 120)  # px of the image


def cut(shape, side):
    """Tiles of `side` px: the frame's px for each px of the image are chosen to give them."""
    return tiles_of(shape, FRAME, FRAME / side)


@given(lengths, lengths, sides)
def test_the_cores_cover_every_pixel_exactly_once(rows, cols, side):
    covered = np.zeros((rows, cols), dtype=int)
    for tile in cut((rows, cols), side):
        x0, y0, x1, y1 = tile.core
        covered[y0:y1, x0:x1] += 1
    assert (covered == 1).all()


@given(lengths, lengths, sides)
def test_all_tiles_have_one_size_and_lie_in_the_image(rows, cols, side):
    for tile in cut((rows, cols), side):
        x0, y0, x1, y1 = tile.box
        assert (y1 - y0, x1 - x0) == (min(side, rows), min(side, cols))
        assert 0 <= x0 < x1 <= cols
        assert 0 <= y0 < y1 <= rows


@given(lengths, lengths, sides)
def test_a_core_keeps_the_halo_from_every_edge_but_the_images(rows, cols, side):
    halo = min(round(HALO * side / FRAME), side // 4)
    for tile in cut((rows, cols), side):
        for axis, length in enumerate((cols, rows)):
            low, high = tile.box[axis], tile.box[axis + 2]
            core_low, core_high = tile.core[axis], tile.core[axis + 2]
            assert core_low < core_high
            assert core_low == 0 if low == 0 else core_low - low >= halo
            assert core_high == length if high == length else high - core_high >= halo


@given(st.integers(1, 20_000), st.integers(1, 20_000))
def test_no_tile_more_than_the_halo_needs(rows, cols):
    tiles = tiles_of((rows, cols), FRAME, 1.0)
    expected = [max(1, -(-(n - 2 * HALO) // (FRAME - 2 * HALO))) for n in (rows, cols)]
    assert len(tiles) == (expected[0] if rows > FRAME else 1) * (expected[1] if cols > FRAME else 1)


@given(lengths, lengths)
def test_an_image_that_fits_a_tile_is_one_tile(rows, cols):
    (tile,) = tiles_of((rows, cols), FRAME, 1.0)
    assert tile.box == tile.core == (0, 0, cols, rows)


def test_one_pixel_more_than_a_tile_makes_two():
    first, second = tiles_of((FRAME + 1, 100), FRAME, 1.0)
    assert first.box == (0, 0, 100, 512)
    assert second.box == (0, 1, 100, 513)
    assert (first.core[3], second.core[1]) == (256, 256)


def test_tiles_go_row_by_row():
    corners = [(t.box[1], t.box[0]) for t in tiles_of((1000, 1000), FRAME, 1.0)]
    assert corners == sorted(corners)


@pytest.mark.parametrize(("scale", "side"), [(1.0, 512), (0.5, 1024), (8.0, 64), (500.0, 2)])
def test_a_tile_fills_the_frame_at_its_scale(scale, side):
    assert tile_side(FRAME, scale) == side
