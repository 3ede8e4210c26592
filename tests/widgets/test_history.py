"""Actions are undone and redone, and what the user painted in between is kept."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Labels

from napari_samstar.widgets.viewer.history import MAX_ACTIONS, Action, Edit, History


@pytest.fixture
def numbers() -> tuple[History, list[int]]:
    history, values = History(), []
    for k in range(3):
        history.do(Action(f"add {k}", lambda k=k: values.append(k), lambda: values.pop()))
    return history, values


def test_undo_and_redo_run_the_actions_in_order(numbers: tuple[History, list[int]]) -> None:
    history, values = numbers
    assert (history.undo_text, history.redo_text) == ("add 2", "")
    history.undo()
    history.undo()
    assert values == [0]
    assert (history.undo_text, history.redo_text) == ("add 0", "add 1")
    history.redo()
    assert values == [0, 1]
    for _ in range(5):
        history.undo()
    assert values == []
    assert history.undo_text == ""


def test_a_new_action_clears_the_redo_list(numbers: tuple[History, list[int]]) -> None:
    history, values = numbers
    history.undo()
    history.do(Action("add 9", lambda: values.append(9), lambda: values.pop()))
    history.redo()
    assert values == [0, 1, 9]


def test_the_number_of_actions_is_limited() -> None:
    history, values = History(), []
    for k in range(MAX_ACTIONS + 20):
        history.do(Action("", lambda k=k: values.append(k), lambda: values.pop()))
    for _ in range(MAX_ACTIONS + 20):
        history.undo()
    assert len(values) == 20


def test_an_edit_keeps_pixels_that_the_user_painted_since() -> None:
    layer = Labels(np.zeros((10, 10), dtype=np.int32))
    changes = []
    layer.events.data.connect(lambda: changes.append(1))
    edit = Edit.of(layer, np.nonzero(np.eye(10, dtype=bool)), 7)
    edit.redo()
    assert (np.diag(layer.data) == 7).all()
    layer.data[4, 4] = 3
    edit.undo()
    assert layer.data[4, 4] == 3
    assert layer.data.sum() == 3
    edit.redo()
    assert layer.data[4, 4] == 3
    assert layer.data.sum() == 9 * 7 + 3
    assert len(changes) == 3


def test_an_edit_of_a_deleted_or_smaller_layer_does_nothing() -> None:
    layer = Labels(np.zeros((10, 10), dtype=np.int32))
    edit = Edit.of(layer, (np.array([9]), np.array([9])), 1)
    layer.data = np.zeros((5, 5), dtype=np.int32)
    edit.redo()
    assert not layer.data.any()
    del layer
    edit.undo()
