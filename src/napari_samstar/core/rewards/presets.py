"""Goals in words: which rewards count for what one is after."""

from __future__ import annotations

from dataclasses import dataclass

from napari_samstar.core.rewards.goal import Goal
from napari_samstar.core.rewards.registry import REWARDS


@dataclass(frozen=True)
class Preset:
    """A goal in words.

    Attributes
    ----------
    name, label, help : str
        Identifier; a few words; one plain sentence.
    weights : dict of str to float
        Weight of each reward that counts; all others weigh nothing.
    """

    name: str
    label: str
    help: str
    weights: dict[str, float]

    @property
    def goal(self) -> Goal:
        """Return the goal, with each reward in its usual objective."""
        return Goal(dict.fromkeys(REWARDS, 0.0) | self.weights)


def _balanced() -> dict[str, float]:
    return {name: r.weight for name, r in REWARDS.items() if r.weight > 0}


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset("balanced", "Balanced", "All that can be judged without being told.", _balanced()),
        Preset(
            "small_particles",
            "Small particles",
            "Finds small particles and does not mind what becomes of large regions.",
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
            "Keeps aggregates and large objects whole, and leaves specks out.",
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
            "One mask for each particle of a dense or overlapping pile.",
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
            "Round, convex objects on a background, whole and once each.",
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
            "Only objects of the shape and size of a few good ones that you marked.",
            # What covers the rest of the foreground would be punished by all other rewards.
            {"shape_prior": 3, "overlap_fidelity": 0.3, "no_oversegmentation": 0.3},
        ),
    )
}
"""Every preset by name; the first is the default."""
