from __future__ import annotations

import numpy as np
import pytest

from napari_samstar.core.interactive.contour_fit import (
    MARGIN,
    Candidate,
    ClickConstraint,
    agreement,
    best,
    signed_distance,
    tidy,
    warp_contour,
)
from napari_samstar.core.interactive.next_click import depth, iou, next_click

SHAPE = (120, 160)
MIDDLE = ClickConstraint(60, 80, 1.0, exact=False)


def disc(radius: float, row: float = 60, col: float = 80) -> np.ndarray:
    rows, cols = np.indices(SHAPE)
    return (rows - row) ** 2 + (cols - col) ** 2 <= radius**2


def drawn(candidate: Candidate, constraints) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    distance, window = warp_contour(candidate, constraints)
    mask[window] = distance > 0
    return mask


def test_signed_distance_is_positive_inside_and_the_border_is_no_outline():
    distance = signed_distance(disc(20))
    assert distance[60, 80] == pytest.approx(20, abs=1)
    assert distance[60, 120] == pytest.approx(-20, abs=1)
    half = np.zeros((10, 10), bool)
    half[:, :5] = True
    assert signed_distance(half)[0, 0] == pytest.approx(4.5)
    assert (signed_distance(np.ones((3, 3), bool)) > 3).all()
    assert (signed_distance(np.zeros((3, 3), bool)) < -3).all()


def test_a_candidate_keeps_a_window_and_extrapolates_beyond():
    whole = signed_distance(disc(10))
    candidate = Candidate.of(disc(10), 0.9)
    assert max(candidate.distance.shape) <= 21 + 2 * MARGIN
    rows, cols = np.indices(SHAPE)
    near = whole > -MARGIN / 2
    assert np.array_equal(candidate.at(rows[near], cols[near]), whole[near])
    assert np.abs(candidate.at(rows, cols) - whole).max() < 10
    assert Candidate.of(np.zeros(SHAPE, bool), 1.0) is None


def test_without_a_contradiction_nothing_bends():
    assert np.array_equal(drawn(Candidate.of(disc(20), 0.9), [MIDDLE]), disc(20))


@pytest.mark.parametrize(("found", "true"), [(20, 26), (26, 20)])
def test_one_click_in_the_middle_of_an_error_moves_the_outline_there(found, true):
    click = next_click(disc(true), disc(found))
    old = float(signed_distance(disc(found))[click.row, click.col])
    constraints = [MIDDLE, ClickConstraint(int(click.row), int(click.col), -old)]
    mask = drawn(Candidate.of(disc(found), 0.9), constraints)
    assert mask[click.row, click.col] == click.positive
    wrong = mask != disc(true)
    rows, cols = np.nonzero(disc(found) != disc(true))
    near = np.hypot(rows - click.row, cols - click.col) < 6
    assert wrong[rows[near], cols[near]].mean() < 0.35
    opposite = (120 - int(click.row), 160 - int(click.col))
    assert mask[opposite] == disc(found)[opposite]


def test_few_clicks_turn_a_disc_into_an_ellipse():
    rows, cols = np.indices(SHAPE)
    ellipse = ((rows - 60) / 18) ** 2 + ((cols - 80) / 36) ** 2 <= 1
    candidate, mask, constraints = Candidate.of(disc(24), 0.9), disc(24), [MIDDLE]
    for _ in range(6):
        click = next_click(ellipse, mask)
        at = int(click.row), int(click.col)
        side = 1 if click.positive else -1
        constraints.append(
            ClickConstraint(*at, side * max(1.0, abs(float(signed_distance(mask)[at]))))
        )
        mask = drawn(candidate, constraints)
    assert iou(disc(24), ellipse) < 0.7
    assert iou(mask, ellipse) > 0.88


def test_the_candidate_that_contradicts_no_click_is_taken():
    small, large = Candidate.of(disc(10), 0.9), Candidate.of(disc(40), 0.9)
    outside = [MIDDLE, ClickConstraint(60, 100, -4.0)]
    assert best([large, small], outside) is small
    inside = [MIDDLE, ClickConstraint(60, 100, 6.0)]
    assert best([small, large], inside) is large
    assert agreement(large, inside) > agreement(small, inside)


def test_of_equal_candidates_the_better_rated_is_taken():
    poor, good = Candidate.of(disc(20), 0.5), Candidate.of(disc(20), 0.9)
    assert best([poor, good], [MIDDLE]) is good


def test_parts_without_a_click_go_and_small_holes_are_filled():
    mask = disc(20)
    mask[5:10, 5:10] = True
    mask[62:64, 84:86] = False
    clean = tidy(mask, [MIDDLE])
    assert not clean[7, 7]
    assert clean[63, 85]
    kept = tidy(mask, [MIDDLE, ClickConstraint(7, 7, 2.0), ClickConstraint(63, 85, -1.0)])
    assert kept[7, 7]
    assert not kept[63, 85]
    nowhere = tidy(mask, [ClickConstraint(100, 10, -3.0)])
    assert nowhere[7, 7]
    assert nowhere[60, 80]


def test_the_inner_half_of_an_error_is_put_right_wherever_it_is_clicked():
    true, found = disc(22, col=90), disc(22, col=78)
    inner = depth(true & ~found)
    rows, cols = np.nonzero(inner >= inner.max() * 0.7)
    for k in np.random.default_rng(0).integers(len(rows), size=5):
        at = int(rows[k]), int(cols[k])
        constraint = ClickConstraint(*at, -float(signed_distance(found)[at]))
        mask = drawn(
            Candidate.of(found, 0.9), [ClickConstraint(60, 80, 1.0, exact=False), constraint]
        )
        assert iou(mask, true) > iou(found, true) + 0.05
