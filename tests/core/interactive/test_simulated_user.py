from __future__ import annotations

import numpy as np

from napari_samstar.core.interactive.click_session import ClickSession
from napari_samstar.core.interactive.clicks import Click
from napari_samstar.core.interactive.next_click import careless_click, depth, iou, next_click
from napari_samstar.core.interactive.simulated_user import failed, iou_at, noc, simulate
from tests.core.clicked import embedded, pocket, truth


def test_the_first_click_is_the_centre_of_the_object():
    click = next_click(truth(1))
    assert click == Click(60, 100, positive=True)


def test_the_largest_error_is_clicked_with_its_sign():
    true, mask = np.zeros((60, 60), bool), np.zeros((60, 60), bool)
    true[10:31, 10:31] = True
    mask[20:31, 10:31] = True  # misses 10 rows
    mask[50:55, 50:55] = True  # 5 rows too much
    assert next_click(true, mask) == Click(14, 14, positive=True)
    mask[40:, 30:] = True  # now 20 rows too much
    click = next_click(true, mask)
    assert not click.positive
    assert click.row >= 40


def test_no_click_where_nothing_is_wrong_and_none_twice():
    true = truth(0)
    assert next_click(true, true) is None
    first = next_click(true)
    assert next_click(true, None, [first]) != first


def test_a_careless_user_clicks_in_the_inner_half_of_the_same_error():
    true, mask = np.zeros((60, 60), bool), np.zeros((60, 60), bool)
    true[10:31, 10:31] = True
    mask[50:55, 50:55] = True
    seen = set()
    for k in range(20):
        click = careless_click(true, mask, chance=np.random.default_rng(k))
        assert click.positive
        assert depth(true)[click.row, click.col] >= depth(true).max() / 2
        seen.add((click.row, click.col))
    assert len(seen) > 10
    assert careless_click(true, true, chance=np.random.default_rng(0)) is None


def test_the_images_border_is_an_edge():
    region = np.ones((5, 9), bool)
    assert depth(region)[2, 4] == 3
    assert depth(region)[0, 0] == 1


def test_clicks_are_counted_and_the_last_one_counts():
    ious = [0.5, 0.8, 0.86]
    assert noc(ious, 0.85, 20) == 3
    assert noc(ious, 0.85, 3) == 3
    assert not failed(ious, 0.85, 3)
    assert failed(ious, 0.85, 2)
    assert noc(ious, 0.9, 20) == 20
    assert iou_at(ious, 2) == 0.8
    assert iou_at(ious, 5) == 0.86


def test_iou_of_nothing_with_nothing_is_one():
    nothing = np.zeros((3, 3), bool)
    assert iou(nothing, nothing) == 1
    assert iou(nothing, ~nothing) == 0


def test_the_simulated_user_stops_at_the_target_and_is_deterministic():
    runs = [list(simulate(ClickSession(pocket(), embedded()), truth(0), 6, 0.9)) for _ in "ab"]
    assert runs[0] == runs[1]
    assert len(runs[0]) <= 6
    assert all(value < 0.9 for value in runs[0][:-1])
