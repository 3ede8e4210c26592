from __future__ import annotations

import re

import pytest

from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.models.registry import REGISTRY, model_defaults

MICRO_SAM = [name for name, info in REGISTRY.items() if info.licence == "CC-BY-4.0"]


@pytest.mark.parametrize("name", REGISTRY)
def test_each_row_is_complete(name):
    info = REGISTRY[name]
    assert info.name == name
    assert info.advice.endswith(".")
    assert "\n" not in info.advice
    assert info.licence
    if info.url is None:
        assert info.known_hash is None
        return
    assert info.url.startswith("https://")
    assert re.fullmatch("sha256:[0-9a-f]{64}|xxh128:[0-9a-f]{32}", info.known_hash)


def test_files_and_hashes_are_distinct():
    infos = REGISTRY.values()
    for values in ([i.file for i in infos], [i.known_hash for i in infos], [i.url for i in infos]):
        assert len(set(values)) == len(values)


def test_the_models_of_micro_sam_have_names():
    assert [
        *(f"vit_{size}_lm" for size in "tbl"),
        *(f"vit_{size}_em_organelles" for size in "tbl"),
        *(f"vit_{size}_histopathology" for size in "blh"),
    ] == MICRO_SAM
    for name in MICRO_SAM:
        wanted = "mobile_sam" if name.startswith("vit_t") else name[:5]
        assert REGISTRY[name].architecture == wanted


@pytest.mark.parametrize("name", ["pocket", "mobile_sam", "vit_b", "vit_l", "vit_h", "my_own"])
def test_the_defaults_of_other_models_are_those_of_segment_anything(name):
    assert AmgConfig.for_model(name, {}) == AmgConfig()


@pytest.mark.parametrize("name", MICRO_SAM)
def test_models_of_micro_sam_have_lower_thresholds(name):
    config = AmgConfig.for_model(name, {})
    assert config != AmgConfig()
    assert 0.6 <= config.pred_iou_thresh <= 0.8
    assert 0.6 <= config.stability_score_thresh <= 0.8
    assert config.replace(pred_iou_thresh=0.88, stability_score_thresh=0.95) == AmgConfig()


def test_given_settings_go_before_those_of_the_model():
    config = AmgConfig.for_model("vit_b_lm", {"pred_iou_thresh": 0.9})
    assert (config.pred_iou_thresh, config.stability_score_thresh) == (0.9, 0.7)


def test_a_file_has_the_defaults_of_the_model_whose_name_it_has():
    assert model_defaults("somewhere/vit_b_lm.pt") == model_defaults("vit_b_lm") != {}
    model_defaults("vit_b_lm").clear()  # a copy
    assert model_defaults("vit_b_lm")
