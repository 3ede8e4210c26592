"""Windows of an image, and masks placed in them."""

from __future__ import annotations

import numpy as np
import pytest

from napari_samstar.core.errors import UserError
from napari_samstar.core.interactive.clicks import BoxPrompt, Click, ClickPrompt
from napari_samstar.core.interactive.placed_mask import PlacedMask, mask_extent, part_around
from napari_samstar.core.interactive.window import ClickWindow, prompt_extent

SHAPE = (1000, 1400)


def test_windows_hold_what_they_are_chosen_for_and_lie_in_the_image():
    rng = np.random.default_rng(0)
    for _ in range(500):
        row, col = int(rng.integers(1000)), int(rng.integers(1400))
        extent = (row, col, min(row + int(rng.integers(1, 900)), 1000), min(col + 40, 1400))
        window = ClickWindow.around(extent, 256, SHAPE)
        r0, c0, r1, c1 = window.extent
        assert 0 <= r0 <= extent[0] < extent[2] <= r1 <= 1000
        assert 0 <= c0 <= extent[1] < extent[3] <= c1 <= 1400
        assert not window.cuts(extent, 256)


def test_a_click_is_near_the_middle_of_its_window_and_shares_it_with_clicks_beside_it():
    window = ClickWindow.around((500, 700, 501, 701), 256, SHAPE)
    middle = np.array(window.extent).reshape(2, 2).mean(axis=0)
    assert window.shape == (256, 256)
    assert np.abs(middle - (500, 700)).max() <= 256 / 16 + 1
    starts = {ClickWindow.around((500 + k, 700, 501 + k, 701), 256, SHAPE) for k in range(32)}
    assert len(starts) == 2


def test_an_image_smaller_than_the_window_is_seen_as_a_whole():
    window = ClickWindow.around((5, 5, 6, 6), 2000, SHAPE)
    assert window == ClickWindow.whole(SHAPE)
    assert window.is_whole
    far = ClickPrompt((Click(-3, 2000),))
    assert window.to_window(far) is far  # as before there were windows
    assert not window.cuts((0, 0, *SHAPE), 2000)


def test_prompts_come_back_from_a_window_and_are_refused_outside_of_it():
    window = ClickWindow.around((500, 700, 501, 701), 256, SHAPE)
    prompt = ClickPrompt((Click(500, 700), Click(510, 690, False)), BoxPrompt(450, 650, 550, 760))
    moved = window.to_window(prompt)
    assert moved.clicks[1] == Click(510 - window.extent[0], 690 - window.extent[1], False)
    assert window.to_image(moved) == prompt
    for outside in (
        ClickPrompt((Click(500, 900),)),
        ClickPrompt((), BoxPrompt(300, 650, 550, 760)),
    ):
        with pytest.raises(UserError, match="accept or skip the object first"):
            window.to_window(outside)


def test_a_mask_that_reaches_an_inner_edge_is_cut():
    window = ClickWindow((0, 200, 256, 456), SHAPE)
    assert not window.cuts((0, 300, 100, 400), 256)  # the image's own edge
    assert window.cuts((100, 202, 150, 260), 256)
    assert window.cuts((200, 300, 256, 400), 256)


def test_the_extent_of_a_prompt_is_that_of_its_box_or_first_click():
    assert prompt_extent(ClickPrompt((Click(4, 6), Click(90, 90)))) == (4, 6, 5, 7)
    assert prompt_extent(ClickPrompt((Click(4, 6),), BoxPrompt(1, 2, 8.5, 9))) == (1, 2, 10, 10)


def test_masks_keep_their_pixels_on_other_parts_of_the_image():
    rng = np.random.default_rng(1)
    for _ in range(50):
        dense = np.zeros((60, 80), dtype=bool)
        row, col = rng.integers(40), rng.integers(50)
        dense[row : row + 12, col : col + 20] = rng.random((12, 20)) < 0.3
        placed = PlacedMask(dense).tight()
        assert placed.extent == mask_extent(dense)
        np.testing.assert_array_equal(placed.within((0, 0, 60, 80)).mask, dense)
        part = placed.within((10, 20, 50, 60))
        np.testing.assert_array_equal(part.mask, dense[part.slices])
    assert PlacedMask(np.zeros((4, 4), dtype=bool)).tight() is None


def test_drawn_parts_have_few_shapes_and_background_around_the_mask():
    room = (0, 0, 2000, 3000)
    for size in (10, 200, 240):
        part = part_around((700, 900, 700 + size, 900 + size), room)
        assert (part[2] - part[0], part[3] - part[1]) == (256, 256)
        assert part[0] <= 698
        assert part[2] >= 702 + size
    assert part_around((0, 0, 10, 10), (0, 0, 100, 90)) == (0, 0, 100, 90)
