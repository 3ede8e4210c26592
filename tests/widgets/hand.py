"""Mouse and keyboard on the canvas: real Qt events, through vispy and napari to the plugin."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from tests.widgets.waiting import wait_until_laid_out

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
    """Clicks on pixels (row, col) of a layer."""

    def __init__(self, viewer: Any, layer: Any, qtbot: Any) -> None:
        self.viewer, self.layer = viewer, layer
        wait_until_laid_out(viewer, qtbot)
        viewer.reset_view()

    @property
    def canvas(self) -> Any:
        return self.viewer.window._qt_viewer.canvas.native

    def click(self, pixel: tuple[int, ...], button: Any = LEFT, held: Any = NONE) -> None:
        """Press and release."""
        QTest.mouseClick(self.canvas, button, held, self._point(pixel))

    def drag(self, start: tuple[int, ...], end: tuple[int, ...], held: Any = NONE) -> None:
        """Press, move, release."""
        first, last = self._point(start), self._point(end)
        QTest.mousePress(self.canvas, LEFT, held, first)
        for k in range(1, 6):
            self._move(first + (last - first) * (k / 5), held)
        QTest.mouseRelease(self.canvas, LEFT, held, last)

    def press(self, key: Any, held: Any = NONE) -> None:
        """Press a key on the canvas."""
        QTest.keyClick(self.canvas, key, held)

    def _move(self, point: QPoint, held: Any) -> None:
        at, world = QPointF(point), QPointF(self.canvas.mapToGlobal(point))
        event = QMouseEvent(QEvent.Type.MouseMove, at, world, Qt.MouseButton.NoButton, LEFT, held)
        QApplication.sendEvent(self.canvas, event)

    def _point(self, pixel: tuple[int, ...]) -> QPoint:
        """Return where a pixel is on the canvas; brings the layer into view if it is not."""
        point = self._map(pixel)
        if not self.canvas.rect().contains(point):
            self.viewer.reset_view()
            point = self._map(pixel)
        assert self.canvas.rect().contains(point), "the pixel is out of view"
        return point

    def _map(self, pixel: tuple[int, ...]) -> QPoint:
        """Map by the transform with which napari maps mouse events back.

        The camera's centre and zoom follow a change of the canvas's size only when it is drawn.
        """
        view = self.viewer.window._qt_viewer.canvas.view
        world = np.array(self.layer.data_to_world(pixel))[-self.viewer.dims.ndisplay :]
        x, y, _, w = (view.transform * view.scene.transform).map(world[::-1])
        return QPoint(round(x / w), round(y / w))
