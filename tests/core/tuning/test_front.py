from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymoo.indicators.hv import HV

from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.rewards.goal import Goal
from napari_samstar.core.tuning.config import Trial
from napari_samstar.core.tuning.front import (
    front,
    hypervolume,
    hypervolume_by_generation,
    non_dominated,
)


def points(seed, n, m, levels=0):
    values = np.random.default_rng(seed).random((n, m))
    return np.round(values * levels) / levels if levels else values


def dominates(p, q):
    return (p >= q).all() and (p > q).any()


@given(st.integers(0, 500), st.integers(1, 40), st.integers(1, 3), st.sampled_from([0, 3]))
def test_the_front_is_exactly_what_nothing_dominates(seed, n, m, levels):
    p = points(seed, n, m, levels)
    members = non_dominated(p)
    assert not any(dominates(p[i], p[j]) for i in members for j in members)
    free = {tuple(q) for q in p if not any(dominates(other, q) for other in p)}
    assert {tuple(p[i]) for i in members} == free
    assert len(members) == len(free)
    assert p[members].tolist() == sorted(p[members].tolist())


@given(st.integers(0, 500), st.integers(0, 30), st.integers(2, 3), st.sampled_from([0, 4]))
def test_hypervolume_is_pymoos(seed, n, m, levels):
    p = points(seed, n, m, levels)
    expected = HV(ref_point=np.zeros(m))(-p) if n else 0.0
    assert hypervolume(p) == pytest.approx(expected)


def trial(found, clean, generation=0, origin="search", **rewards):
    return Trial(
        AmgConfig(), {"coverage": found, "boundary": clean, **rewards}, 1, generation, origin
    )


GOAL = Goal({"coverage": 1, "boundary": 1})


def test_knee_best_and_defaults():
    shown = front(
        [
            trial(0.2, 0.3, origin="defaults"),
            trial(0.1, 0.9),
            trial(0.6, 0.8),
            trial(0.7, 0.1),
        ],
        GOAL,
    )
    assert shown.members.tolist() == [1, 2, 3]
    assert shown.knee == 2
    assert shown.best == 2
    assert shown.defaults == 0
    assert shown.hypervolume == pytest.approx(0.1 * 0.9 + 0.5 * 0.8 + 0.1 * 0.1)


def test_weights_can_be_moved_without_evaluating_again():
    trials = [trial(0.1, 0.9), trial(0.6, 0.7), trial(0.9, 0.1)]
    assert front(trials, Goal({"coverage": 1, "boundary": 9})).best == 0
    assert front(trials, Goal({"coverage": 9, "boundary": 1})).best == 2
    assert front(trials, Goal({"boundary": 1})).members.tolist() == [0]


def test_without_defaults_there_is_none():
    assert front([trial(0.5, 0.5)], GOAL).defaults is None
    with pytest.raises(ValueError, match="at least one"):
        front([], GOAL)


def test_hypervolume_grows_with_generations():
    trials = [
        trial(0.5, 0.5, 0),
        trial(0.1, 0.1, 0),
        trial(0.4, 0.4, 1),
        trial(1.0, 0.25, 2),
    ]
    volumes = hypervolume_by_generation(trials, GOAL)
    assert volumes == pytest.approx([0.25, 0.25, 0.375])
    assert hypervolume_by_generation([], GOAL) == []


@pytest.mark.parametrize(("gain", "best"), [(0.005, 0), (0.02, 1)])
def test_the_defaults_are_the_best_where_nothing_is_clearly_better(gain, best):
    """Else noise in the rewards would be sold as tuning."""
    goal = Goal({"coverage": 1, "boundary": 1})
    values = [(0.5, 0.5), (0.5 + gain, 0.5 + gain), (0.4, 0.55)]
    tried = [
        Trial(AmgConfig(pred_iou_thresh=0.5 + k / 100), {"coverage": c, "boundary": b}, 1, 0,
              "search" if k else "defaults")
        for k, (c, b) in enumerate(values)
    ]  # fmt: skip
    assert front(tried, goal).best == best
    assert front(tried[1:], goal).best == 0  # without the defaults, the highest
