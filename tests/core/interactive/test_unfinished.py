from __future__ import annotations

import pytest

from napari_samstar.core.errors import UserError
from napari_samstar.core.interactive import unfinished
from napari_samstar.core.interactive.unfinished import Unfinished, find, forget, keep

PROMPTS = (
    (((3.0, 4.5, True),), None),
    (((3.0, 4.5, True), (9.0, 1.0, False)), (0.0, 1.0, 20.0, 30.0)),
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SAMSTAR_CACHE", str(tmp_path))
    return tmp_path / unfinished.FOLDER


def test_clicks_come_back_until_they_are_forgotten():
    keep("k" * 64, Unfinished(PROMPTS, 7, "cells"))
    found = find("k" * 64)
    assert found is not None
    assert (found.prompts, found.label, found.layer) == (PROMPTS, 7, "cells")
    assert found.when
    assert find("other") is None
    forget("k" * 64)
    forget("k" * 64)
    assert find("k" * 64) is None


def test_damaged_clicks_are_none_and_an_unwritable_folder_is_one_sentence(folder):
    keep("k" * 64, Unfinished(PROMPTS))
    next(folder.iterdir()).write_text('{"prompts": [[1]]}')
    assert find("k" * 64) is None
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.write_text("a file where the folder should be")
    with pytest.raises(UserError, match="Your clicks are not being saved"):
        keep("k" * 64, Unfinished(PROMPTS))
