"""Apply, the menu beside it, undo and redo, by mouse events."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest


def _press(widget: Any, at: Any = None) -> None:
    QTest.mouseClick(
        widget,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
        at or widget.rect().center(),
    )


def _choose(row: Any, text: str, qtbot: Any) -> None:
    """Open the menu and click on an entry."""
    _press(row.more)
    qtbot.waitUntil(row.menu.isVisible)
    (act,) = [a for a in row.menu.actions() if text in a.text()]
    _press(row.menu, row.menu.actionGeometry(act).center())
    qtbot.waitUntil(lambda: not row.menu.isVisible())


def test_objects_go_to_a_new_layer_or_replace_those_of_a_layer(segmented: Any, qtbot: Any) -> None:
    viewer, row = segmented.viewer, segmented.segment.apply_row
    _press(row.apply)
    first = viewer.layers["discs objects"]
    _choose(row, "New Labels layer", qtbot)
    assert "discs objects [1]" in viewer.layers
    mine = np.zeros_like(first.data)
    mine[3:9, 3:9] = 7
    layer = viewer.add_labels(mine.copy(), name="mine", scale=(0.5, 0.5), units=("nm", "nm"))
    before = len(viewer.layers)
    _choose(row, "Replace the objects of mine", qtbot)
    np.testing.assert_array_equal(layer.data, first.data)
    assert len(viewer.layers) == before
    assert "mine" in row.undo.toolTip()
    _press(row.undo)
    np.testing.assert_array_equal(layer.data, mine)
    _press(row.redo)
    np.testing.assert_array_equal(layer.data, first.data)
    for _ in range(3):
        _press(row.undo)
    assert first not in viewer.layers
    assert not row.undo.isEnabled()
