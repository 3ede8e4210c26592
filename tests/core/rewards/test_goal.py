from __future__ import annotations

import json

import pytest

from napari_samstar.core.errors import UserError
from napari_samstar.core.rewards.goal import OBJECTIVES, Goal
from napari_samstar.core.rewards.registry import REWARDS


def test_the_default_goal_has_all_rewards_in_two_objectives():
    goal = Goal()
    assert goal.weights == {n: r.weight for n, r in REWARDS.items()}
    assert goal.used == (0, 1)
    assert goal.names == OBJECTIVES[:2]


def test_objectives_are_weighted_means():
    goal = Goal({"coverage": 3, "small_objects": 1, "boundary": 2})
    rewards = {"coverage": 0.8, "small_objects": 0.4, "boundary": 0.5, "confidence": 1.0}
    assert goal.values(rewards) == pytest.approx([0.7, 0.5])
    assert goal.total(rewards) == pytest.approx((3 * 0.8 + 0.4 + 2 * 0.5) / 6)


def test_an_objective_without_weight_is_left_out():
    goal = Goal({"coverage": 0, "boundary": 1})
    assert goal.used == (1,)
    assert goal.values({"boundary": 0.3}) == pytest.approx([0.3])


def test_rewards_can_be_moved_to_a_third_objective():
    goal = Goal({"coverage": 1, "boundary": 1, "confidence": 1}, {"confidence": 2})
    assert goal.used == (0, 1, 2)
    assert goal.values({"confidence": 0.9}) == pytest.approx([0, 0, 0.9])


@pytest.mark.parametrize(
    ("weights", "objectives", "sentence"),
    [
        ({"beauty": 1}, {}, "Unknown reward 'beauty'; the rewards are coverage"),
        ({"coverage": -1}, {}, "weight of coverage must be 0 or more"),
        ({"coverage": float("nan")}, {}, "weight of coverage must be 0 or more"),
        ({"coverage": 1}, {"coverage": 3}, "objective of coverage must be 0, 1 or 2"),
        ({"coverage": 0}, {}, "All weights are 0"),
        ({}, {}, "All weights are 0"),
    ],
)
def test_invalid_goals_raise_a_user_error(weights, objectives, sentence):
    with pytest.raises(UserError, match=sentence):
        Goal(weights, objectives)


def test_json_round_trip_of_a_goal():
    goal = Goal({"coverage": 0.5, "boundary": 2}, {"boundary": 0})
    assert Goal.from_dict(json.loads(json.dumps(goal.to_dict()))) == goal
