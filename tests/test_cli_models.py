"""The command line's `models`, and what the choice of a model changes."""

from __future__ import annotations

import dataclasses
from typing import Any

from napari_samstar.api import facade
from napari_samstar.cli import options
from napari_samstar.core.amg.config import OF_EXAMPLES, SETTINGS, AmgConfig
from tests.core.tiny import tiny_model


def settings_of_command(model: str, **given: Any) -> AmgConfig:
    """Return what a command receives for the options that are given."""
    received = []

    def command(*, model: str, settings: AmgConfig) -> None:
        received.append(settings)

    wrapped = options.with_settings(lambda setting: True)(command)
    values = dict.fromkeys(set(SETTINGS) - {*OF_EXAMPLES}) | given
    wrapped(**values, model=model, prompts=options.Prompts.auto)
    return received[0]


def test_command_line_and_python_start_from_the_models_thresholds():
    model = dataclasses.replace(tiny_model(), name="vit_l_lm")
    in_python = facade._config(model, "auto", {})
    assert (in_python.pred_iou_thresh, in_python.stability_score_thresh) == (0.65, 0.73)
    assert settings_of_command("vit_l_lm") == in_python
    assert settings_of_command("folder/vit_l_lm.pt") == in_python
    assert facade._config(model, "auto", {"pred_iou_thresh": 0.9}).pred_iou_thresh == 0.9


def test_with_metas_models_they_are_those_of_segment_anything():
    plain = AmgConfig(tile_scale=None)
    assert settings_of_command("vit_b") == plain
    assert facade._config(dataclasses.replace(tiny_model(), name="vit_b"), "auto", {}) == plain
