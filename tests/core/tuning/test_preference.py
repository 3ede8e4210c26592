"""Suggested weights: real searches, users with hidden weights, and users without any."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.preference import (
    WISHES,
    Searched,
    agreement,
    at_random,
    by_weights,
    choices_of,
    contradictory,
    searches,
    split,
    user,
)
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.rewards.goal import Goal
from napari_samstar.core.rewards.presets import PRESETS
from napari_samstar.core.rewards.registry import REWARDS
from napari_samstar.core.tuning import preference
from napari_samstar.core.tuning.config import Trial
from napari_samstar.core.tuning.front import front
from napari_samstar.core.tuning.preference import (
    MAX_WEIGHT,
    Choice,
    Option,
    aim_of,
    choices_for,
    fit,
    suggest,
)
from napari_samstar.core.tuning.preference_words import sentence

EDGES = {"boundary": 3.0, "no_oversegmentation": 1.0, "likely_objects": 1.0}
ROUND = {"circularity": 3.0, "likely_objects": 1.0}


def drawn(images: int = 8, seeds: int = 3, seed: int = 0) -> list[Searched]:
    """Return fronts of trials whose rewards are drawn, with trade-offs between them."""
    rng = np.random.default_rng(seed)
    found = []
    for image in range(images):
        middle = rng.uniform(0.3, 0.7, len(REWARDS))
        for k in range(seeds):
            rows = np.clip(middle + rng.normal(0, 0.08, (60, len(REWARDS))), 0, 1)
            trials = tuple(
                Trial(
                    AmgConfig(), dict(zip(REWARDS, row.tolist(), strict=True)), 20 + i, 0, "search"
                )
                for i, row in enumerate(rows)
            )
            found.append(Searched(f"image{image} {k}", trials))
    return found


@pytest.fixture(scope="module")
def real() -> list[Searched]:
    """Real searches with the bundled model on parts of three samples."""
    names = ("nanocrystals", "facets", "phase_cells")
    found = searches(names, quarters=2, trials=64, seeds=3, points=8)
    return [f for f in found if len(front(f.trials, Goal()).members) > 1]


def made(
    differences: list[dict[str, float]], number: float = 1.0, weights: Goal | None = None
) -> list[Choice]:
    """Return choices whose applied trial differs from the one proposed as given."""
    base = dict.fromkeys(REWARDS, 0.5)
    return [
        Choice(
            applied=Option({n: base[n] + change.get(n, 0.0) for n in base}, round(40 * number)),
            passed=(Option(base, 40),),
            own=True,
            weights=dict((weights or Goal()).weights),
            search=str(k),
            image="key",
            name="a.tif",
            when="",
        )
        for k, change in enumerate(differences)
    ]


def test_suggested_weights_pick_more_of_what_the_user_wants_on_unseen_images():
    """For a wish that the goal weights a little; one for a reward without weight takes longer."""
    fronts, wish = drawn(), EDGES
    before, after = [], []
    for seed in range(6):
        found = user(by_weights(wish), fronts, 12, seed)
        if found["suggested"]:
            before.append(found["before"])
            after.append(found["after"])
    assert len(after) >= 4, "too few users get a suggestion"
    assert np.mean(after) > np.mean(before) + 0.2


def test_on_real_searches_the_suggestion_agrees_with_the_users_more_often(real):
    """On average over six wishes; not for each of them."""
    half = len(real) // 2
    before, after = [], []
    for weights in WISHES.values():
        wish, rng = by_weights(weights), np.random.default_rng(0)
        for chosen_from, held in ((real[:half], real[half:]), (real[half:], real[:half])):
            fitted = fit(choices_of(wish, chosen_from, 16, rng), Goal())
            before.append(agreement(Goal(), wish, held))
            after.append(agreement(fitted, wish, held))
    assert np.mean(after) > np.mean(before) + 0.03


def test_a_user_without_a_wish_gets_a_suggestion_in_at_most_one_of_ten_cases():
    fronts = drawn()
    got = [
        user(at_random(np.random.default_rng(1000 + seed)), fronts, n, seed)["suggested"]
        for n in (6, 12)
        for seed in range(30)
    ]
    assert np.mean(got) <= 0.1


def test_a_user_who_wants_one_thing_and_its_opposite_gets_none():
    fronts = drawn()
    assert not any(contradictory(ROUND, fronts, 12, seed) for seed in range(10))
    both = made([{"circularity": 0.1}, {"circularity": -0.1}] * 4)
    assert suggest(both, Goal()) is None


def test_little_evidence_moves_little_and_is_no_suggestion():
    choices = made([{"circularity": 0.1, "likely_objects": -0.02}] * 12)
    one, many = fit(choices[:1], Goal()), fit(choices, Goal())
    gains = [f.weights["circularity"] - Goal().weights["circularity"] for f in (one, many)]
    assert 0 <= gains[0] < gains[1]
    assert suggest(choices[:2], Goal()) is None
    assert fit([], Goal()) == Goal()


def test_a_suggestion_names_its_evidence_and_its_words():
    choices = made([{"circularity": 0.2, "boundary": 0.1, "likely_objects": -0.06}] * 5, 0.5)
    found = suggest(choices, Goal())
    assert found is not None
    assert (found.agree, found.agree_now) == (5, 0)
    assert found.evidence == "5 of your 5 choices agree with it, 0 with the present weights."
    assert sentence(found) == "You prefer fewer, cleaner objects with rounder outlines."
    assert all(0 <= w <= MAX_WEIGHT for w in found.goal.weights.values())
    assert found.present == Goal()
    assert (
        suggest(choices, found.goal) is None or found.goal == suggest(choices, found.goal).present
    )


@pytest.mark.parametrize(
    ("change", "number", "words"),
    [
        ({"outlined": -0.3, "boundary": -0.3, "coverage": 0.2}, 2.0, "more objects, also"),
        ({"large_objects": 0.2, "likely_objects": -0.05}, 1.0, "objects with the large ones whole"),
        ({"outlined": 0.2, "boundary": 0.1, "likely_objects": -0.1}, 1.0,
         "cleaner objects each with a visible"),
    ],
)  # fmt: skip
def test_words_follow_the_differences(change, number, words):
    found = suggest(made([change] * 6, number), Goal())
    assert found is not None
    assert words in sentence(found)


def test_choices_that_follow_the_proposal_suggest_nothing():
    choices = [
        replace(c, own=False) for c in made([{"circularity": 0.1, "likely_objects": -0.1}] * 9)
    ]
    assert suggest(choices, Goal()) is None


def test_only_choices_with_the_same_aim_count_and_one_for_each_search():
    here = made([{"circularity": 0.1}] * 3)
    there = made([{"circularity": 0.1}] * 3, weights=PRESETS["count_only"].goal)
    there = [replace(c, search=f"other {c.search}") for c in there]
    assert aim_of(PRESETS["count_only"].weights) == "count_only"
    assert choices_for([*here, *there], Goal()) == tuple(here)
    again = replace(here[0], applied=Option({"coverage": 1.0}, 3))
    assert choices_for([*here, again], Goal())[0] == again


def test_the_gradient_is_that_of_the_cost():
    rng = np.random.default_rng(0)
    differences, real = rng.normal(0, 0.1, (4, 3, 5)), rng.random((4, 3)) > 0.3
    differences[~real] = 0
    v, prior = rng.uniform(0, 20, 5), rng.uniform(0, 20, 5)
    _, slope = preference._cost(v, differences, real, prior)
    for k in range(5):
        step = np.zeros(5)
        step[k] = 1e-5
        up, down = (preference._cost(v + s, differences, real, prior)[0] for s in (step, -step))
        assert (up - down) / 2e-5 == pytest.approx(slope[k], rel=1e-4, abs=1e-6)


def test_fits_are_equal_each_time():
    fronts, _ = split(drawn(), np.random.default_rng(0))
    choices = choices_of(by_weights(ROUND), fronts, 8, np.random.default_rng(1))
    assert fit(choices, Goal()) == fit(choices, Goal())
