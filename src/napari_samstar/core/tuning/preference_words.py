"""A suggestion in plain words: how applied trials differ from those that were passed over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_samstar.core.rewards.registry import REWARDS

if TYPE_CHECKING:
    from napari_samstar.core.tuning.preference import Choice, Suggestion

CLEAN = 1
"""The objective `Clean objects`, see `goal.OBJECTIVES`."""
CLEAR_NUMBER = 0.1
"""A number of objects that differs by less, as a share, is about the same."""
CLEAR_REWARD = 0.02
"""Differences of a reward or an objective that are less are too small to see."""
MOST_OF = 2 / 3
"""Share of the choices that must point the same way."""

PHRASES = {
    "coverage": "with less of the foreground left out",
    "likely_objects": "that SAM is sure of",
    "small_objects": "with the small ones found",
    "large_objects": "with the large ones whole",
    "count": "closer to the number that you expect",
    "overlap_fidelity": "without duplicates",
    "no_oversegmentation": "not in pieces",
    "no_merging": "not merged with their neighbours",
    "boundary": "with outlines on edges",
    "outlined": "each with a visible outline",
    "contrast": "that stand out from their surroundings",
    "homogeneity": "that are even inside",
    "confidence": "that SAM is sure of",
    "size_distribution": "of the sizes that you expect",
    "spacing": "not too close to each other",
    "circularity": "with rounder outlines",
    "solidity": "with smoother outlines",
    "aspect_ratio": "as elongated as you expect",
    "shape_prior": "more like your examples",
    "annotations": "closer to your annotations",
}
"""What a higher reward means for the objects; other packages' rewards are named by their label."""


def sentence(suggestion: Suggestion) -> str:
    """Return what the user prefers, such as "You prefer fewer, cleaner objects"."""
    choices = [c for c in suggestion.choices if c.own]
    objects = _number_and_quality(choices)
    detail = _detail(suggestion, choices)
    if not (objects or detail):
        return "You prefer other objects than those proposed."
    return f"You prefer {' '.join(x for x in (objects or 'objects', detail) if x)}."


def _number_and_quality(choices: Sequence[Choice]) -> str:
    """Return "fewer, cleaner objects" and the like; empty where there is no clear direction."""
    number = _direction([_number(c) for c in choices], CLEAR_NUMBER)
    clean = _direction([_objective(c, CLEAN) for c in choices], CLEAR_REWARD)
    return {
        (-1, 1): "fewer, cleaner objects",
        (-1, 0): "fewer objects",
        (-1, -1): "fewer objects",
        (0, 1): "cleaner objects",
        (1, 1): "more and cleaner objects",
        (1, 0): "more objects",
        (1, -1): "more objects, also doubtful ones",
    }.get((number, clean), "")


def _detail(suggestion: Suggestion, choices: Sequence[Choice]) -> str:
    """Return words for the reward whose weight gains most, if the choices clearly differ in it."""
    before, after = suggestion.present.weights, suggestion.goal.weights
    gains = {name: after[name] - before.get(name, 0.0) for name in after}
    for name in sorted(gains, key=lambda n: -gains[n]):
        if gains[name] <= 0:
            break
        if _direction([_reward(c, name) for c in choices], CLEAR_REWARD) > 0:
            return PHRASES.get(name, f"with a higher “{REWARDS[name].label}”")
    return ""


def _direction(differences: Sequence[float], clear: float) -> int:
    """Return 1 or -1 where most differences have that sign and are clear, else 0."""
    if not differences:
        return 0
    for sign in (1, -1):
        if np.mean(sign * np.asarray(differences) > clear) >= MOST_OF:
            return sign
    return 0


def _number(choice: Choice) -> float:
    """Return the relative difference in numbers of masks to the mean of those passed over."""
    others = float(np.mean([p.n_masks for p in choice.passed]))
    return (choice.applied.n_masks - others) / max(others, 1.0)


def _objective(choice: Choice, objective: int) -> float:
    """Return the mean difference over the rewards of an objective that the goal had weighted."""
    names = [
        name
        for name, weight in choice.weights.items()
        if weight > 0 and name in REWARDS and REWARDS[name].objective == objective
    ]
    return float(np.mean([_reward(choice, name) for name in names])) if names else 0.0


def _reward(choice: Choice, name: str) -> float:
    """Return the difference in a raw reward to the mean of those passed over."""
    others = float(np.mean([p.rewards.get(name, 0.0) for p in choice.passed]))
    return choice.applied.rewards.get(name, 0.0) - others
