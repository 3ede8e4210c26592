from __future__ import annotations

import numpy as np

from napari_samstar.core.interactive.click_session import ClickSession
from napari_samstar.core.interactive.clicks import Click
from napari_samstar.core.interactive.next_click import (
    careless_click,
    interior_distance,
    iou,
    next_click,
)
from napari_samstar.core.interactive.simulated_user import failed, iou_at, noc, simulate
from tests.core.disc_image import disc, embedding, pocket


def test_the_first_click_is_in_the_centre_of_the_object():
    click = next_click(disc(1))
    assert click == Click(60, 100, positive=True)


def test_the_largest_error_is_clicked_with_the_right_sign():
    true, mask = np.zeros((60, 60), bool), np.zeros((60, 60), bool)
    true[10:31, 10:31] = True
    mask[20:31, 10:31] = True  # misses 10 rows
    mask[50:55, 50:55] = True  # 5 rows too much
    assert next_click(true, mask) == Click(14, 14, positive=True)
    mask[40:, 30:] = True  # now 20 rows too much
    click = next_click(true, mask)
    assert not click.positive
    assert click.row >= 40


def test_there_is_no_click_without_an_error_and_no_pixel_is_clicked_twice():
    true = disc(0)
    assert next_click(true, true) is None
    first = next_click(true)
    assert next_click(true, None, [first]) != first


def test_careless_clicks_are_in_the_inner_half_of_the_same_error():
    true, mask = np.zeros((60, 60), bool), np.zeros((60, 60), bool)
    true[10:31, 10:31] = True
    mask[50:55, 50:55] = True
    seen = set()
    for k in range(20):
        click = careless_click(true, mask, rng=np.random.default_rng(k))
        assert click.positive
        assert interior_distance(true)[click.row, click.col] >= interior_distance(true).max() / 2
        seen.add((click.row, click.col))
    assert len(seen) > 10
    assert careless_click(true, true, rng=np.random.default_rng(0)) is None


def test_interior_distance_counts_the_border_as_an_edge():
    region = np.ones((5, 9), bool)
    assert interior_distance(region)[2, 4] == 3
    assert interior_distance(region)[0, 0] == 1


def test_reaching_the_target_on_the_last_click_is_success():
    ious = [0.5, 0.8, 0.86]
    assert noc(ious, 0.85, 20) == 3
    assert noc(ious, 0.85, 3) == 3
    assert not failed(ious, 0.85, 3)
    assert failed(ious, 0.85, 2)
    assert noc(ious, 0.9, 20) == 20
    assert iou_at(ious, 2) == 0.8
    assert iou_at(ious, 5) == 0.86


def test_iou_of_two_empty_masks_is_one():
    empty = np.zeros((3, 3), bool)
    assert iou(empty, empty) == 1
    assert iou(empty, ~empty) == 0


def test_simulation_stops_at_the_target_and_is_deterministic():
    runs = [list(simulate(ClickSession(pocket(), embedding()), disc(0), 6, 0.9)) for _ in "ab"]
    assert runs[0] == runs[1]
    assert len(runs[0]) <= 6
    assert all(value < 0.9 for value in runs[0][:-1])
