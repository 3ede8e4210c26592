from __future__ import annotations

import dataclasses
import json

import pytest

from benchmarks.bank import discs
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.mapping import ImageMapping
from napari_samstar.core.results.migrations import VERSION
from napari_samstar.core.results.recipe import Recipe, Tuning, make_recipe
from tests.core.tiny import tiny_model

IMAGE = discs((40, 60))
CONFIG = AmgConfig(points_per_side=None, point_grids=(((0.5, 1 / 3),),), box_nms_thresh=0.123456)


@pytest.fixture
def recipe():
    mapping = ImageMapping(stretch="limits", limits=(3.0, 4000.0), invert=True)
    image = dataclasses.replace(IMAGE, mapping=mapping)
    return make_recipe(image, tiny_model(), CONFIG, Tuning(goal={"weights": {"a": 1}}))


def test_a_file_gives_the_recipe_back(recipe, tmp_path):
    path = recipe.save(tmp_path / "a.samstar.json")
    assert Recipe.load(path) == recipe
    assert [p.name for p in tmp_path.iterdir()] == ["a.samstar.json"]


def test_it_says_where_the_result_comes_from(recipe):
    assert recipe.image["key"] == IMAGE.key
    assert recipe.image["shape"] == [40, 60]
    assert recipe.model_sha256 == tiny_model().sha256
    assert recipe.software["device"] == "cpu"
    assert recipe.software["torch"] != "not installed"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"format": "other"}, "not a recipe: choose a file that samstar wrote"),
        ({"version": VERSION + 1}, f"version {VERSION + 1}, this program reads up to {VERSION}"),
        ({"config": {"points": 1}}, "Unknown setting 'points'"),
        ({"config": {"pred_iou_thresh": 7}}, "must lie between 0 and 1"),
        ({"config": None}, "damaged"),
        ({"mapping": None}, "damaged"),
        ({"image": 5}, "damaged"),
        ({"tuning": 5}, "damaged"),
    ],
)
def test_a_wrong_recipe_gets_one_sentence(recipe, tmp_path, change, sentence):
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(recipe.to_dict() | change))
    with pytest.raises(UserError, match=sentence):
        Recipe.load(path)


@pytest.mark.parametrize("missing", ["config", "mapping", "model", "model_sha256", "image"])
def test_a_recipe_without_a_part_is_damaged(recipe, missing):
    values = recipe.to_dict()
    del values[missing]
    with pytest.raises(UserError, match="damaged"):
        Recipe.from_dict(values)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"\x89PNG\r\n"])
def test_what_is_no_json_is_no_recipe(tmp_path, content):
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match="no readable JSON"):
        Recipe.load(path)


def test_other_files_are_no_recipes(tmp_path):
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(UserError, match="not a recipe"):
        Recipe.load(tmp_path / "list.json")
    with pytest.raises(UserError, match="no readable JSON"):
        Recipe.load(tmp_path)
    with pytest.raises(UserError, match="There is no recipe"):
        Recipe.load(tmp_path / "missing.json")


def test_other_weights_are_refused(recipe):
    recipe.check_model(tiny_model())
    other = dataclasses.replace(tiny_model(), sha256="0" * 64)
    with pytest.raises(UserError, match="give the recipe's checkpoint with --model"):
        recipe.check_model(other)
