from __future__ import annotations

import json

import pytest

from napari_samstar.core.errors import UserError
from napari_samstar.core.interactive import unfinished
from napari_samstar.core.interactive.unfinished import UnfinishedObject, delete, load, save

PROMPTS = (
    (((3.0, 4.5, True),), None),
    (((3.0, 4.5, True), (9.0, 1.0, False)), (0.0, 1.0, 20.0, 30.0)),
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SAMSTAR_CACHE", str(tmp_path))
    return tmp_path / unfinished.FOLDER


def test_saved_clicks_are_loaded_until_they_are_deleted():
    save("k" * 64, UnfinishedObject(PROMPTS, 7, "cells", window=(0, 4, 64, 68)))
    found = load("k" * 64)
    assert found is not None
    assert (found.prompts, found.label, found.layer) == (PROMPTS, 7, "cells")
    assert found.window == (0, 4, 64, 68)
    assert found.when
    assert load("other") is None
    delete("k" * 64)
    delete("k" * 64)
    assert load("k" * 64) is None


def test_damaged_clicks_are_ignored_and_an_unwritable_folder_is_reported(folder):
    save("k" * 64, UnfinishedObject(PROMPTS))
    next(folder.iterdir()).write_text('{"prompts": [[1]]}')
    assert load("k" * 64) is None
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.write_text("a file where the folder should be")
    with pytest.raises(UserError, match="Your clicks are not being saved"):
        save("k" * 64, UnfinishedObject(PROMPTS))


def test_clicks_saved_before_there_were_windows_are_loaded(folder):
    folder.mkdir()
    earlier = {"prompts": PROMPTS, "label": 0, "layer": "", "when": "2026-01-01T10:00:00+00:00"}
    (folder / f"{'k' * 32}.json").write_text(json.dumps(earlier))
    found = load("k" * 64)
    assert found is not None
    assert (found.prompts, found.window) == (PROMPTS, None)
