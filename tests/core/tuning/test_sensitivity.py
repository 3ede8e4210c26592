from __future__ import annotations

import numpy as np
import pytest

from napari_samstar.core.amg.config import SETTINGS, AmgConfig
from napari_samstar.core.rewards.goal import Goal
from napari_samstar.core.tuning.config import Trial
from napari_samstar.core.tuning.sensitivity import epsilon_squared, sensitivity

GOAL = Goal({"coverage": 1})
FREE = ("pred_iou_thresh", "stability_score_thresh", "box_nms_thresh", "min_mask_region_area")


def drawn(summary, n=400, seed=0, **fixed):
    """Return evaluations of random settings whose only reward is `outcome(u)`, u in [0, 1]^4."""
    rng = np.random.default_rng(seed)
    found = []
    for u in rng.random((n, len(FREE))):
        low = [SETTINGS[name].search_low for name in FREE]
        high = [SETTINGS[name].search_high for name in FREE]
        values = dict(
            zip(FREE, np.round(low + u * np.subtract(high, low), 6).tolist(), strict=True)
        )
        values["min_mask_region_area"] = int(values["min_mask_region_area"])
        config = AmgConfig(**values, **fixed)
        found.append(Trial(config, {"coverage": float(summary(u))}, 1, 0, "random"))
    return found


def shares(trials):
    return {e.name: e.share for e in sensitivity(trials, GOAL)}


def test_a_linear_outcome_gives_the_shares_of_its_squared_slopes():
    slopes = np.array([0.6, 0.3, 0.1, 0.0])
    found = shares(drawn(lambda u: slopes @ u, n=2000))
    expected = slopes**2 / (slopes**2).sum()
    for name, share in zip(FREE, expected, strict=True):
        assert found[name] == pytest.approx(share, abs=0.04)
    assert list(found)[:2] == list(FREE[:2])


def test_a_peak_in_the_middle_is_seen():
    found = shares(drawn(lambda u: 1 - (2 * u[1] - 1) ** 2))
    assert found["stability_score_thresh"] > 0.9
    assert max(v for k, v in found.items() if k != "stability_score_thresh") < 0.05


def test_noise_is_no_effect():
    noise = np.random.default_rng(5)
    found = [shares(drawn(lambda u: noise.random(), seed=s)) for s in range(20)]
    for name in FREE:
        values = [f[name] for f in found]
        assert np.mean(values) < 0.015
        assert max(values) < 0.08


def test_a_constant_outcome_has_no_effects():
    assert set(shares(drawn(lambda u: 0.4)).values()) == {0.0}


def test_a_setting_that_never_changed_is_left_out():
    assert set(shares(drawn(lambda u: u[0]))) == set(FREE)


def test_each_rung_of_a_ladder_is_a_bin():
    trials = [
        e
        for k, side in enumerate((16, 32, 48))
        for e in drawn(lambda u, k=k: k / 4, n=10 * (k + 1), points_per_side=side)
    ]
    found = next(e for e in sensitivity(trials, GOAL) if e.name == "points_per_side")
    assert found.at == (16, 32, 48)
    assert found.mean == (0, 0.25, 0.5)
    assert found.share == pytest.approx(1)
    assert found.setting.label == "Points per side"


def test_profile_follows_the_outcome_and_ties_share_a_bin():
    trials = drawn(lambda u: u[2], n=200)
    found = next(e for e in sensitivity(trials, GOAL) if e.name == "box_nms_thresh")
    assert len(found.at) == 8
    assert list(found.at) == sorted(found.at)
    assert list(found.mean) == sorted(found.mean)
    same = [e for e in trials if e.config.box_nms_thresh < 0.3] * 3
    bins = next(e for e in sensitivity(same, GOAL) if e.name == "box_nms_thresh")
    assert len(set(bins.at)) == len(bins.at)


def test_the_same_evaluations_give_the_same_effects_in_any_order():
    trials = drawn(lambda u: u[0] * u[1])
    assert shares(trials) == pytest.approx(shares(trials[::-1]))


def test_epsilon_squared_by_hand():
    # SS_total 10, SS_within 1, b = 2, n = 4: (10 - 1 - 1 * 1 / 2) / 10
    groups = [np.array([0.0, 1.0]), np.array([3.0, 4.0])]
    assert epsilon_squared(groups) == pytest.approx((10 - 1 - 0.5) / 10)
    assert epsilon_squared([np.array([1.0, 2.0])]) == 0
    assert epsilon_squared([np.array([1.0]), np.array([2.0])]) == 0


def test_few_evaluations_are_no_error():
    assert sensitivity([], GOAL) == ()
    assert sensitivity(drawn(lambda u: u[0], n=1), GOAL) == ()
    assert all(0 <= e.share <= 1 for e in sensitivity(drawn(lambda u: u[0], n=3), GOAL))
