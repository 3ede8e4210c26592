"""`samstar weights`: the suggestion as text and JSON, and forgetting."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from napari_samstar.cli.main import app
from napari_samstar.core.rewards.registry import REWARDS
from napari_samstar.core.tuning import choices
from tests.core.tuning.test_preference import made


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["weights", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SAMSTAR_CACHE", str(tmp_path))


def test_without_choices_nothing_is_suggested():
    assert "0 choices" in run()
    about = json.loads(run("--json"))
    assert (about["noted"], about["weights"], about["agree"]) == (0, {}, None)


def test_the_suggestion_is_printed_and_forgotten():
    for choice in made([{"circularity": 0.1, "likely_objects": -0.03}] * 6, number=0.5):
        choices.add(replace(choice, name="a.tif"))
    about = json.loads(run("--json"))
    assert about["weights"]["circularity"] > 0
    assert set(about["weights"]) <= set(REWARDS)
    assert (about["agree"], about["agree_now"]) == (6, 0)
    text = run().replace("\n", " ")
    assert "You prefer fewer objects with rounder outlines." in text
    assert "--weight circularity=" in text
    assert "0 choices" in run("--preset", "count_only")
    assert "0 choices" in run("--forget")
    assert choices.read() == choices.Choices()
