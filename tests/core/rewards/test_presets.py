from __future__ import annotations

import pytest

from napari_samstar.core.rewards.goal import Goal
from napari_samstar.core.rewards.presets import PRESETS
from napari_samstar.core.rewards.registry import REWARDS


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_every_preset_has_two_objectives_or_more(preset):
    assert PRESETS[preset.name] is preset
    assert preset.help.endswith(".")
    assert len(preset.goal.used) >= 2
    assert {n: w for n, w in preset.goal.weights.items() if w} == preset.weights


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_only_the_preset_for_examples_needs_input(preset):
    needed = [REWARDS[n].needs for n in preset.weights if REWARDS[n].needs]
    assert needed == (["a few good objects"] if preset.name == "like_examples" else [])


def test_the_first_preset_is_the_default_goal():
    first = next(iter(PRESETS.values()))
    assert first.goal == Goal()
