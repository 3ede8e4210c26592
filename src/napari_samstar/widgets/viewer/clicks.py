"""Clicks on the canvas, distinguished from drags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samstar.widgets.shell.alive import call_if_alive
from napari_samstar.widgets.viewer.listeners import MouseListener

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import napari

MAX_CLICK_MOVE = 4  # px on the canvas between press and release


class CanvasClicks(MouseListener):
    """Calls a widget's method with the event of every left click on the canvas, while enabled.

    Parameters
    ----------
    viewer : Viewer
    method : callable
        A method of a widget; not called any more once the widget was deleted.
    """

    def __init__(self, viewer: napari.Viewer, method: Callable[[Any], None]) -> None:
        super().__init__(viewer)
        self._call = call_if_alive(method)

    def _on_press(self, _: Any, event: Any) -> Generator[None, None, None]:
        if event.button != 1:
            return
        start = np.array(event.pos, dtype=float)
        yield
        while event.type == "mouse_move":
            yield
        if np.abs(np.array(event.pos, dtype=float) - start).max() <= MAX_CLICK_MOVE:
            self._call(event)
