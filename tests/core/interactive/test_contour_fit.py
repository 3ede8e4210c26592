from __future__ import annotations

import numpy as np
import pytest

from napari_samstar.core.interactive.contour_fit import (
    MARGIN,
    Candidate,
    ClickConstraint,
    best_candidate,
    candidate_score,
    clean_mask,
    signed_distance,
    warp_contour,
)
from napari_samstar.core.interactive.next_click import interior_distance, iou, next_click

SHAPE = (120, 160)
MIDDLE = ClickConstraint(60, 80, 1.0, sign_only=True)


def disc(radius: float, row: float = 60, col: float = 80) -> np.ndarray:
    rows, cols = np.indices(SHAPE)
    return (rows - row) ** 2 + (cols - col) ** 2 <= radius**2


def warped(candidate: Candidate, constraints) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    distance, window = warp_contour(candidate, constraints)
    mask[window] = distance > 0
    return mask


def test_signed_distance_is_positive_inside_and_the_border_is_no_contour():
    distance = signed_distance(disc(20))
    assert distance[60, 80] == pytest.approx(20, abs=1)
    assert distance[60, 120] == pytest.approx(-20, abs=1)
    half = np.zeros((10, 10), bool)
    half[:, :5] = True
    assert signed_distance(half)[0, 0] == pytest.approx(4.5)
    assert (signed_distance(np.ones((3, 3), bool)) > 3).all()
    assert (signed_distance(np.zeros((3, 3), bool)) < -3).all()


def test_a_candidate_stores_a_window_and_extrapolates_beyond():
    whole = signed_distance(disc(10))
    candidate = Candidate.from_mask(disc(10), 0.9)
    assert max(candidate.distance.shape) <= 21 + 2 * MARGIN
    rows, cols = np.indices(SHAPE)
    near = whole > -MARGIN / 2
    assert np.array_equal(candidate.distance_at(rows[near], cols[near]), whole[near])
    assert np.abs(candidate.distance_at(rows, cols) - whole).max() < 10
    assert Candidate.from_mask(np.zeros(SHAPE, bool), 1.0) is None


def test_without_a_contradiction_the_contour_does_not_move():
    assert np.array_equal(warped(Candidate.from_mask(disc(20), 0.9), [MIDDLE]), disc(20))


@pytest.mark.parametrize(("found", "true"), [(20, 26), (26, 20)])
def test_one_click_moves_the_contour_near_it_and_not_far_from_it(found, true):
    click = next_click(disc(true), disc(found))
    old = float(signed_distance(disc(found))[click.row, click.col])
    constraints = [MIDDLE, ClickConstraint(int(click.row), int(click.col), -old)]
    mask = warped(Candidate.from_mask(disc(found), 0.9), constraints)
    assert mask[click.row, click.col] == click.positive
    wrong = mask != disc(true)
    rows, cols = np.nonzero(disc(found) != disc(true))
    near = np.hypot(rows - click.row, cols - click.col) < 6
    assert wrong[rows[near], cols[near]].mean() < 0.35
    opposite = (120 - int(click.row), 160 - int(click.col))
    assert mask[opposite] == disc(found)[opposite]


def test_six_clicks_warp_a_disc_into_an_ellipse():
    rows, cols = np.indices(SHAPE)
    ellipse = ((rows - 60) / 18) ** 2 + ((cols - 80) / 36) ** 2 <= 1
    candidate, mask, constraints = Candidate.from_mask(disc(24), 0.9), disc(24), [MIDDLE]
    for _ in range(6):
        click = next_click(ellipse, mask)
        at = int(click.row), int(click.col)
        side = 1 if click.positive else -1
        constraints.append(
            ClickConstraint(*at, side * max(1.0, abs(float(signed_distance(mask)[at]))))
        )
        mask = warped(candidate, constraints)
    assert iou(disc(24), ellipse) < 0.7
    assert iou(mask, ellipse) > 0.88


def test_the_candidate_that_contradicts_no_click_is_best():
    small, large = Candidate.from_mask(disc(10), 0.9), Candidate.from_mask(disc(40), 0.9)
    outside = [MIDDLE, ClickConstraint(60, 100, -4.0)]
    assert best_candidate([large, small], outside) is small
    inside = [MIDDLE, ClickConstraint(60, 100, 6.0)]
    assert best_candidate([small, large], inside) is large
    assert candidate_score(large, inside) > candidate_score(small, inside)


def test_of_equal_candidates_the_higher_predicted_iou_is_best():
    poor, good = Candidate.from_mask(disc(20), 0.5), Candidate.from_mask(disc(20), 0.9)
    assert best_candidate([poor, good], [MIDDLE]) is good


def test_clean_mask_removes_unclicked_components_and_fills_small_holes():
    mask = disc(20)
    mask[5:10, 5:10] = True
    mask[62:64, 84:86] = False
    cleaned = clean_mask(mask, [MIDDLE])
    assert not cleaned[7, 7]
    assert cleaned[63, 85]
    kept = clean_mask(mask, [MIDDLE, ClickConstraint(7, 7, 2.0), ClickConstraint(63, 85, -1.0)])
    assert kept[7, 7]
    assert not kept[63, 85]
    unclicked = clean_mask(mask, [ClickConstraint(100, 10, -3.0)])
    assert unclicked[7, 7]
    assert unclicked[60, 80]


def test_clicks_away_from_the_centre_of_an_error_also_help():
    true, found = disc(22, col=90), disc(22, col=78)
    inner = interior_distance(true & ~found)
    rows, cols = np.nonzero(inner >= inner.max() * 0.7)
    for k in np.random.default_rng(0).integers(len(rows), size=5):
        at = int(rows[k]), int(cols[k])
        constraint = ClickConstraint(*at, -float(signed_distance(found)[at]))
        mask = warped(
            Candidate.from_mask(found, 0.9),
            [ClickConstraint(60, 80, 1.0, sign_only=True), constraint],
        )
        assert iou(mask, true) > iou(found, true) + 0.05
