"""Presets: named goals for common aims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from napari_samstar.core.errors import UserError
from napari_samstar.core.rewards.goal import Goal
from napari_samstar.core.rewards.registry import REWARDS


@dataclass(frozen=True)
class Preset:
    """A named goal.

    Attributes
    ----------
    name, label, help : str
        Identifier; a few words; one sentence.
    weights : dict of str to float
        Weights of rewards; all others are 0.
    """

    name: str
    label: str
    help: str
    weights: dict[str, float]

    @property
    def goal(self) -> Goal:
        """The goal, with each reward in its default objective."""
        return Goal(dict.fromkeys(REWARDS, 0.0) | self.weights)


def _balanced() -> dict[str, float]:
    return {name: r.weight for name, r in REWARDS.items() if r.weight > 0}


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset("balanced", "Balanced", "Objects of any kind; needs no further input.", _balanced()),
        Preset(
            "small_particles",
            "Small particles",
            "Finds small particles; large regions do not matter.",
            {
                "likely_objects": 2,
                "small_objects": 2,
                "coverage": 0.5,
                "overlap_fidelity": 1,
                "no_oversegmentation": 0.5,
                "contrast": 1,
                "boundary": 0.5,
            },
        ),
        Preset(
            "large_aggregates",
            "Large aggregates",
            "Keeps aggregates and large objects whole; leaves out specks.",
            {
                "likely_objects": 2,
                "large_objects": 2,
                "coverage": 1,
                "no_oversegmentation": 2,
                "overlap_fidelity": 1,
                "boundary": 0.5,
            },
        ),
        Preset(
            "touching_particles",
            "Separate touching particles",
            "One mask for each of many touching or overlapping particles.",
            {
                "likely_objects": 3,
                "coverage": 1,
                "boundary": 2,
                "no_merging": 1,
                "overlap_fidelity": 1,
                "no_oversegmentation": 0.5,
                "solidity": 1,
            },
        ),
        Preset(
            "nuclei",
            "Nuclei",
            "Round, convex objects on a background, each whole and found once.",
            {
                "likely_objects": 3,
                "coverage": 1,
                "boundary": 1,
                "no_merging": 1,
                "overlap_fidelity": 1,
                "no_oversegmentation": 1,
                "solidity": 1,
                "contrast": 0.5,
            },
        ),
        Preset(
            "count_only",
            "Count only",
            "The right number of objects; outlines may be rough.",
            {
                "likely_objects": 3,
                "coverage": 1,
                "small_objects": 1,
                "no_merging": 2,
                "overlap_fidelity": 2,
                "no_oversegmentation": 2,
            },
        ),
        Preset(
            "like_examples",
            "Objects like my examples",
            "Only objects with the shape and size of a few that you marked.",
            # All other rewards would be low, since most of the foreground is not covered.
            {"shape_prior": 3, "overlap_fidelity": 0.3, "no_oversegmentation": 0.3},
        ),
    )
}
"""Every preset by name; the first is the default."""


def goal_of(preset: str = "balanced", weights: Mapping[str, float] | None = None) -> Goal:
    """Return the goal of a preset, with some weights changed.

    Raises
    ------
    UserError
        If there is no such preset or reward.
    """
    if preset not in PRESETS:
        raise UserError(f"There is no preset {preset!r}: choose one of {', '.join(PRESETS)}.")
    return Goal({**PRESETS[preset].goal.weights, **(weights or {})})
