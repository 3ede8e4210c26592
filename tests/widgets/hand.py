"""A user's hand on the canvas: real events of Qt, through vispy and napari to the plugin."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
NONE, SHIFT, CONTROL = (
    Qt.KeyboardModifier.NoModifier,
    Qt.KeyboardModifier.ShiftModifier,
    Qt.KeyboardModifier.ControlModifier,
)


def camera_of(viewer: Any) -> Any:
    """Return a viewer's camera, which moved in napari 0.9."""
    return getattr(viewer, "scene", viewer).camera


class Hand:
    """Clicks on pixels (row, col) of a layer, which lies in view."""

    def __init__(self, viewer: Any, layer: Any, qtbot: Any) -> None:
        self.viewer, self.layer = viewer, layer
        qtbot.wait(50)  # until docks have their place
        viewer.reset_view()
        qtbot.wait(20)

    @property
    def canvas(self) -> Any:
        return self.viewer.window._qt_viewer.canvas.native

    def click(self, spot: tuple[int, int], button: Any = LEFT, held: Any = NONE) -> None:
        """Press and release."""
        QTest.mouseClick(self.canvas, button, held, self._point(spot))

    def drag(self, start: tuple[int, int], end: tuple[int, int], held: Any = NONE) -> None:
        """Press, move, release."""
        first, last = self._point(start), self._point(end)
        QTest.mousePress(self.canvas, LEFT, held, first)
        for k in range(1, 6):
            self._move(first + (last - first) * (k / 5), held)
        QTest.mouseRelease(self.canvas, LEFT, held, last)

    def press(self, key: Any, held: Any = NONE) -> None:
        """Press a key while the canvas has the focus."""
        QTest.keyClick(self.canvas, key, held)

    def _move(self, point: QPoint, held: Any) -> None:
        at, world = QPointF(point), QPointF(self.canvas.mapToGlobal(point))
        event = QMouseEvent(QEvent.Type.MouseMove, at, world, Qt.MouseButton.NoButton, LEFT, held)
        QApplication.sendEvent(self.canvas, event)

    def _point(self, spot: tuple[int, int]) -> QPoint:
        camera = camera_of(self.viewer)
        world = np.array(self.layer.data_to_world(spot)[-2:])
        middle = np.array([self.canvas.height(), self.canvas.width()]) / 2
        row, col = np.round((world - camera.center[-2:]) * camera.zoom + middle).astype(int)
        point = QPoint(int(col), int(row))
        assert self.canvas.rect().contains(point), "the spot is out of view"
        return point
