"""The panels, the command line and Python give the same labels and the same recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

import napari_samstar as ss
from napari_samstar.cli.main import app
from napari_samstar.core.results.recipe import Recipe
from napari_samstar.widgets.viewer.layer_writer import RECIPE_KEY
from tests.widgets.conftest import Panels, discs, wait_until_idle

TRIALS = 48
PRESET = "touching_particles"
SEED = 3


@pytest.fixture
def image_file(tmp_path: Path) -> Path:
    path = tmp_path / "discs.tif"
    tifffile.imwrite(path, discs())
    return path


def from_panels(panels: Panels, qtbot: Any, path: Path, pick: str) -> tuple[np.ndarray, Recipe]:
    """Open the file in napari, press Tune and a button of the Pareto front panel, then Apply."""
    viewer = panels.viewer
    viewer.layers.clear()
    viewer.open(str(path), plugin="napari")
    panels.segment.settings.show(ss.AmgConfig(prompts="centres"))
    panels.segment.run_button.click()
    wait_until_idle(panels, qtbot)
    presets = panels.tune.goal_form.preset_box
    presets.setCurrentIndex(presets.findData(PRESET))
    presets.activated.emit(presets.currentIndex())
    panels.tune.budget_box.setValue(TRIALS)
    panels.tune.seed_box.setValue(SEED)
    panels.tune.run_button.click()
    wait_until_idle(panels, qtbot)
    getattr(panels.front, f"{pick}_button").click()
    wait_until_idle(panels, qtbot)
    panels.front.apply_button.click()
    wait_until_idle(panels, qtbot)
    layer = next(x for x in viewer.layers if RECIPE_KEY in x.metadata)
    return np.asarray(layer.data), Recipe.from_dict(layer.metadata[RECIPE_KEY])


def from_command_line(path: Path, pick: str) -> tuple[np.ndarray, Recipe]:
    out = path.parent / "out"
    options = ["--preset", PRESET, "--trials", TRIALS, "--seed", SEED, "--pick", pick]
    command = ["tune", path, "--out", out, *options, "--device", "cpu"]
    done = CliRunner().invoke(app, [str(x) for x in command])
    assert done.exit_code == 0, done.output
    return tifffile.imread(out / "labels.tif"), Recipe.load(out / "recipe.samstar.json")


def from_python(path: Path, pick: str) -> tuple[np.ndarray, Recipe]:
    study = ss.tune(path, PRESET, trials=TRIALS, seed=SEED)
    result = getattr(study, pick).segment()
    return result.labels, result.recipe


@pytest.mark.parametrize("pick", ["knee", "best"])
def test_same_choices_same_labels_and_recipe(
    request: pytest.FixtureRequest, qtbot: Any, image_file: Path, pick: str
) -> None:
    labels, recipe = from_python(image_file, pick)
    assert labels.max() > 0
    assert recipe.tuning is not None
    assert recipe.tuning.trials == TRIALS
    # The panels import torch in the background: they open once this thread has imported it
    panels = request.getfixturevalue("panels")
    for others, other in (
        from_command_line(image_file, pick),
        from_panels(panels, qtbot, image_file, pick),
    ):
        np.testing.assert_array_equal(others, labels)
        assert other.to_dict() == recipe.to_dict()
