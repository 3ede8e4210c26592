from __future__ import annotations

import inspect
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from segment_anything import SamAutomaticMaskGenerator

from benchmarks.bank import random_config
from napari_samstar.core.amg.config import SETTINGS, AmgConfig, searched
from napari_samstar.core.errors import UserError


def test_names_and_defaults_are_upstreams():
    upstream = inspect.signature(SamAutomaticMaskGenerator.__init__).parameters
    theirs = {n: p.default for n, p in upstream.items() if n not in ("self", "model")}
    ours = AmgConfig().to_dict()
    assert ours.pop("prompts") == "grid"
    assert (ours.pop("min_likeness"), ours.pop("examples"), ours.pop("boxes")) == (0.0, (), ())
    assert ours.pop("min_probability") == 0.0
    assert (ours.pop("tile_scale"), ours.pop("shown")) == (0.0, "original")
    assert ours == theirs
    assert list(ours) == list(theirs)


@given(st.integers(0, 10_000))
def test_json_gives_every_configuration_back(seed):
    config = random_config(np.random.default_rng(seed))
    assert AmgConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert hash(config) == hash(config.replace())


def test_point_grids_become_arrays_for_upstream():
    config = AmgConfig(points_per_side=None, point_grids=(((0.5, 0.25),),))
    (grid,) = config.generator_kwargs()["point_grids"]
    assert grid.tolist() == [[0.5, 0.25]]
    own = {"prompts": "grid", "min_probability": 0.0, "min_likeness": 0.0, "examples": (),
           "boxes": (), "tile_scale": 0.0, "shown": "original"}  # fmt: skip
    assert own | AmgConfig().generator_kwargs() == AmgConfig().to_dict()


ROD = (3.7, 1.5, 0.5, 0.97)


def test_examples_are_part_of_a_configuration():
    config = AmgConfig(min_likeness=0.4, examples=(ROD, ROD))
    assert AmgConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert config.like((ROD,)).min_likeness == 0.4
    assert config.like(()) == AmgConfig(), "without examples nothing can be like them"
    with pytest.raises(UserError, match="SAM's own generator knows no shapes"):
        config.generator_kwargs()
    assert config.replace(min_likeness=0.0).generator_kwargs() == AmgConfig().generator_kwargs()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"pred_iou_thresh": 1.5}, "pred_iou_thresh must lie between 0 and 1"),
        ({"pred_iou_thresh": float("nan")}, "pred_iou_thresh must lie between"),
        ({"pred_iou_thresh": "high"}, "pred_iou_thresh must be a number"),
        ({"pred_iou_thresh": True}, "pred_iou_thresh must be a number"),
        ({"points_per_side": None}, "Give either points_per_side or point_grids"),
        ({"point_grids": (((0.5, 0.5),),)}, "Give either points_per_side or point_grids"),
        ({"points_per_batch": 0}, "points_per_batch must be at least 1"),
        ({"crop_n_layers": 3}, "crop_n_layers must lie between 0 and 2"),
        ({"stability_score_offset": 0.93}, "use 0.95 instead of 0.93"),
        ({"min_mask_region_area": -1}, "min_mask_region_area must lie between"),
        ({"min_likeness": 0.5}, "min_likeness needs examples: mark a few good objects"),
        ({"shown": "sepia"}, "no shown='sepia': an image is shown as one of original, inverted"),
        ({"examples": ((1.0, 2.0),)}, "rows of four finite numbers"),
        ({"examples": ((1.0, 2.0, float("nan"), 0.0),)}, "rows of four finite numbers"),
    ],
)
def test_bad_values_get_one_sentence(change, sentence):
    with pytest.raises(UserError, match=sentence):
        AmgConfig(**change)


def test_upstream_sees_the_original_only():
    with pytest.raises(UserError, match="sees the image as it is: use shown='original'"):
        AmgConfig(shown="inverted").generator_kwargs()


def test_settings_of_before_show_the_original():
    old = AmgConfig().to_dict()
    del old["shown"]
    assert AmgConfig.from_dict(old) == AmgConfig()


def test_from_dict_names_what_it_does_not_know():
    with pytest.raises(UserError, match=r"Unknown setting 'points'; the settings are .*points_per"):
        AmgConfig.from_dict({"points": 3})


@pytest.mark.parametrize("name", ["points_per_side", "crop_n_layers", "min_mask_region_area"])
def test_whole_numbers_stay_whole(name):
    value = AmgConfig.from_dict({name: 4.0 if name != "crop_n_layers" else 1.0})
    assert type(getattr(value, name)) is int
    with pytest.raises(UserError, match=f"{name} must be a whole number"):
        AmgConfig.from_dict({name: 1.5})


def test_scopes_grow_and_leave_serialisation_alone():
    filters, grids, everything = (searched(s) for s in ("filters", "grids", "everything"))
    assert filters.keys() < grids.keys() < everything.keys()
    assert everything.keys() == SETTINGS.keys() - {"tile_scale"}
    assert searched("scale").keys() == filters.keys() | {"tile_scale"}
    assert not SETTINGS.keys() & {"points_per_batch", "point_grids", "output_mode"}


def test_what_needs_new_inference_comes_from_a_ladder_that_holds_the_default():
    for name, setting in SETTINGS.items():
        assert bool(setting.choices) == (setting.reruns != "nothing")
        if setting.choices:
            assert getattr(AmgConfig(), name) in setting.choices
        else:
            assert setting.low <= setting.search_low < setting.search_high <= setting.high
