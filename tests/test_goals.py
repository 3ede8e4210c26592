"""What `samstar tune` is told: presets, expectations, marked objects."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import typer
from skimage.draw import disk

from napari_samstar.cli.goals import expectations_of, goal_of, parse_expectation
from napari_samstar.core.errors import UserError
from napari_samstar.core.results.recipe import Recipe
from napari_samstar.core.rewards.goal import Goal
from napari_samstar.core.rewards.presets import PRESETS
from tests.test_cli import QUICK, SEARCH, image, model, one_line, samstar

__all__ = ["image", "model"]  # fixtures


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("small=20nm", ("small", 20.0, "nm")),
        ("diameter = 0.5 um", ("diameter", 0.5, "µm")),
        ("count=150", ("count", 150.0, "")),
        ("small=2e1px", ("small", 20.0, "px")),
        ("small=20Å", ("small", 2.0, "nm")),
        ("small=20 angstroms", ("small", 2.0, "nm")),
        ("large=0.5 microns", ("large", 0.5, "µm")),
        ("large=2e-3mm", ("large", 2.0, "µm")),
    ],
)
def test_expectations_are_read_with_their_unit(text, parsed):
    assert parse_expectation(text) == parsed


@pytest.mark.parametrize("text", ["small", "small=", "=", "small=nm"])
def test_what_is_no_quantity_is_refused(text):
    with pytest.raises(typer.BadParameter, match="such as small=20nm"):
        parse_expectation(text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("small=1,5nm", "with a point, such as small=1.5nm"),
        ("small=1,500", "with a point"),
        ("small=20 kg", "'kg' is not a unit of length"),
        ("small=20nm2", "'nm2' is not a unit of length"),
    ],
)
def test_decimal_commas_and_other_units_are_asked_back(text, sentence):
    with pytest.raises(typer.BadParameter, match=sentence):
        parse_expectation(text)


def test_expectations_are_put_together():
    inputs = expectations_of([("small", 20.0, "nm"), ("count", 150.0, ""), ("spacing", 5.0, "nm")])
    assert (inputs.small, inputs.count, inputs.spacing, inputs.unit) == (20, 150, 5, "nm")
    assert expectations_of(None).unit == "px"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([("beauty", 1.0, "")], "Unknown expectation 'beauty': choose from small"),
        ([("count", 3.0, "nm")], "count has no unit"),
        ([("small", 3.0, "nm"), ("large", 9.0, "")], "in one unit"),
    ],
)
def test_expectations_that_make_no_sense_get_one_sentence(given, sentence):
    with pytest.raises(UserError, match=sentence):
        expectations_of(given)


def test_weights_change_the_preset():
    assert goal_of(None) == Goal()
    goal = goal_of([("solidity", 3.0)], "nuclei")
    assert goal.weights == PRESETS["nuclei"].goal.weights | {"solidity": 3.0}
    with pytest.raises(UserError, match="no preset 'lunch': choose one of balanced"):
        goal_of(None, "lunch")


def test_tune_uses_its_inputs(tmp_path, model, image):
    labels = np.zeros((96, 96), np.uint8)
    labels[disk((20, 22), 9)] = 1
    marks = tmp_path / "good.tif"
    tifffile.imwrite(marks, labels)
    inputs = (
        "--expect",
        "small=15nm",
        "--expect",
        "count=4",
        "--pixel-size",
        "0.5",
        "--unit",
        "nm",
    )
    marked = ("--examples", marks, "--annotations", marks, "--preset", "nuclei")
    weights = [o for w in ("count=1", "shape_prior=2", "annotations=1") for o in ("--weight", w)]
    inputs = (*inputs, *marked, *weights)
    samstar("tune", image, "-o", tmp_path / "out", "--model", model, *QUICK, *SEARCH, *inputs)
    tuning = Recipe.load(tmp_path / "out" / "recipe.samstar.json").tuning
    assert tuning.expectations_px["small"] == 30
    assert tuning.expectations_px["count"] == 4
    assert {"count", "shape_prior", "annotations"} <= tuning.rewards.keys()
    assert tuning.goal["weights"]["solidity"] == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--weight", "count=1"), "needs the number of objects"),
        (("--weight", "shape_prior=1"), "needs a few good objects"),
        (("--expect", "small=20nm"), "pixel size is not known"),
        (("--preset", "lunch"), "no preset"),
    ],
)
def test_a_search_that_lacks_something_says_what(tmp_path, model, image, options, sentence):
    out = tmp_path / "out"
    line = one_line(
        samstar("tune", image, "-o", out, "--model", model, *QUICK, *SEARCH, *options, code=1)
    )
    assert sentence in line
    assert not out.exists()


def test_examples_are_what_tune_goes_after_and_the_recipe_repeats_it(tmp_path, image):
    labels = np.zeros((96, 96), np.uint8)
    labels[disk((20, 22), 9)] = 1
    tifffile.imwrite(tmp_path / "good.tif", labels)
    other = tmp_path / "other.tif"
    tifffile.imwrite(other, tifffile.imread(image)[::-1].copy())
    inputs = ("--examples", tmp_path / "good.tif", "--pick", "best")
    out = tmp_path / "out"
    samstar("tune", image, other, "-o", out, *QUICK, *SEARCH, *inputs)
    recipe = Recipe.load(out / "recipe.samstar.json")
    assert recipe.tuning.goal["weights"] == PRESETS["like_examples"].goal.weights
    assert len(recipe.config.examples) == 1
    assert recipe.tuning.rewards["shape_prior"] > 0
    header = (out / "front.csv").read_text().splitlines()[0].split(",")
    assert "min_likeness" in header
    samstar("apply", out / "recipe.samstar.json", image, "-o", tmp_path / "again")
    (found,) = (out / "images").glob("*discs*/labels.tif")
    first, again = (tifffile.imread(f) for f in (found, tmp_path / "again" / "labels.tif"))
    assert first.any()
    np.testing.assert_array_equal(first, again)
