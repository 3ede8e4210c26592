"""Statistics of the benchmark of clicks."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import clicks_summary

BAD, GOOD, SLOW = [0.2] * 30, [0.9], [0.5] * 19 + [0.86]
ROWS = {"frozen": [[BAD, BAD, GOOD, SLOW]], "adapted": [[GOOD, BAD, GOOD, GOOD]] * 2}


def test_success_on_the_last_click_counts_and_orders_are_averaged():
    found = clicks_summary.summary(ROWS["frozen"], 30)
    assert found["fr20_85"] == 0.5  # SLOW reaches it on click 20
    assert found["fr30_90"] == 0.75
    assert found["noc20_85"] == (20 + 20 + 1 + 20) / 4
    two = clicks_summary.summary([[BAD, GOOD], [GOOD, GOOD]], 30)
    assert (two["n"], two["orders"], two["fr20_85"]) == (2, 2, 0.25)
    assert two["fr20_85_range"] == [0.0, 0.5]


def test_differences_have_intervals_and_cuts_over_objects():
    found = clicks_summary.against(ROWS, 30)["adapted"]
    assert found["fr20_85"]["difference"] == -0.25
    assert found["fr20_85"]["cut"] == 0.5
    low, high = found["noc20_85"]["interval"]
    assert low < found["noc20_85"]["difference"] < high <= 0
    same = clicks_summary.compare(np.ones(5), np.ones(5))
    assert (same["difference"], same["p"]) == (0, 1)
    clear = clicks_summary.compare(np.full(20, 20.0), np.arange(20.0))
    assert clear["p"] < 0.001


def test_sets_without_failures_of_the_original_are_left_out_of_the_mean_cut():
    sets = {
        "a": {"traces": ROWS},
        "synthetic_b": {"traces": {"frozen": [[GOOD]], "adapted": [[GOOD]]}},
    }
    found = clicks_summary.over_sets(sets, ["frozen", "adapted"], 30)
    assert found["all"]["adapted"]["fr20_85"]["sets"] == 1
    assert found["all"]["adapted"]["fr20_85"]["mean_cut"] == pytest.approx(0.5)
    assert "mean_cut" not in found["synthetic"]["adapted"]["fr20_85"]
