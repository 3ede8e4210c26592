"""Clicks on the canvas, told apart from drags."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samstar.widgets._alive import when_alive

if TYPE_CHECKING:
    import napari

STILL = 4  # px on the canvas: a hand that clicks moves a little


class CanvasClicks:
    """Calls a widget's method with the event of every left click on the canvas, while it is on.

    Parameters
    ----------
    viewer : Viewer
    method : callable
        A method of a widget; it is left alone once the widget is gone.
    """

    def __init__(self, viewer: napari.Viewer, method: Callable[[Any], None]) -> None:
        self._viewer = weakref.ref(getattr(viewer, "__wrapped__", viewer))
        self._call = when_alive(method)
        self.on = False

    def turn(self, on: bool) -> None:
        """Start or stop listening."""
        viewer = self._viewer()
        if viewer is None or on == self.on:
            return
        self.on = on
        if on:
            viewer.mouse_drag_callbacks.append(self._on_press)
            active = viewer.layers.selection.active
            if active is not None and hasattr(active, "mode"):
                active.mode = "pan_zoom"  # a click must not paint as well
        elif self._on_press in viewer.mouse_drag_callbacks:
            viewer.mouse_drag_callbacks.remove(self._on_press)

    def _on_press(self, _: Any, event: Any) -> Generator[None, None, None]:
        if event.button != 1:
            return
        start = np.array(event.pos, dtype=float)
        yield
        while event.type == "mouse_move":
            yield
        if np.abs(np.array(event.pos, dtype=float) - start).max() <= STILL:
            self._call(event)
