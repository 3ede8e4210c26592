"""The command line's `models`, and what the choice of a model changes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

import pytest
from typer.testing import CliRunner

from napari_samstar.api import facade
from napari_samstar.cli import options
from napari_samstar.cli.main import app
from napari_samstar.core.amg.config import OF_EXAMPLES, SETTINGS, AmgConfig
from napari_samstar.core.models.registry import REGISTRY
from tests.core.tiny import tiny_model


def settings_of_command(model: str, **given: Any) -> AmgConfig:
    """Return what a command receives for the options that are given."""
    received = []

    def command(*, model: str, settings: AmgConfig) -> None:
        received.append(settings)

    wrapped = options.with_settings(lambda setting: True)(command)
    values = dict.fromkeys(set(SETTINGS) - {*OF_EXAMPLES}) | given
    automatic = {"prompts": options.Prompts.auto, "shown": options.Shown.original}
    wrapped(**values, **automatic, model=model)
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


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The models folder, with an intact mobile_sam and a damaged vit_b."""
    monkeypatch.setenv("SAMSTAR_CACHE", str(tmp_path))
    path = tmp_path / "models"
    path.mkdir()
    (path / "mobile_sam.pt").write_bytes(b"weights")
    right = hashlib.sha256(b"weights").hexdigest()
    info = dataclasses.replace(REGISTRY["mobile_sam"], sha256=right)
    monkeypatch.setitem(REGISTRY, "mobile_sam", info)
    (path / "sam_vit_b_01ec64.pth").write_bytes(b"half of it")
    (path / "vit_b_lm.pt.part").write_bytes(bytes(2**20))
    return path


def test_verify_says_of_each_model_how_its_file_is(folder):
    result = CliRunner().invoke(app, ["models", "--verify", "--json"])
    assert result.exit_code == 1
    checked = {about["name"]: about for about in json.loads(result.stdout)["verified"]}
    assert list(checked) == list(REGISTRY)
    assert checked["mobile_sam"]["state"] == "ok"
    assert checked["vit_b"]["state"] == "damaged"
    assert checked["vit_b"]["advice"] == "samstar models --download vit_b replaces it."
    assert checked["vit_l"]["advice"] == "samstar models --download vit_l gets it."
    assert checked["vit_b_lm"]["state"] == "not downloaded"
    assert checked["vit_b_lm"]["advice"].endswith("vit_b_lm goes on after 1.0 MiB.")
    wide = CliRunner(env={"COLUMNS": "150", "TERMINAL_WIDTH": "150"})
    shown = wide.invoke(app, ["models", "--verify"])
    assert shown.exit_code == 1
    for about in checked.values():
        row = next(line for line in shown.stdout.splitlines() if f" {about['name']} " in line)
        assert about["state"] in row


def test_verify_is_content_with_models_that_are_not_there(folder):
    (folder / "sam_vit_b_01ec64.pth").unlink()
    result = CliRunner().invoke(app, ["models", "--verify"])
    assert result.exit_code == 0
    assert "damaged" not in result.stdout
