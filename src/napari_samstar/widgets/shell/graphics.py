"""Mends how napari 0.9 frees what it has drawn of a layer."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    import napari


def make_context_current_on_removal(viewer: napari.Viewer) -> None:
    """Make the canvas's OpenGL context the current one whenever a layer is about to go.

    napari deletes the layer's textures and buffers at once, in whichever context happens to be
    current. In the wrong one, that of the window around it, the next layer drawn on the canvas
    crashes the process: with Mesa, where a layer lies on one plane of a stack that is removed.
    """
    known = weakref.ref(getattr(viewer, "__wrapped__", viewer))

    def on_removing(_: Any) -> None:
        alive = known()
        window = None if alive is None else getattr(alive.window, "_qt_window", None)
        for widget in window.findChildren(QWidget) if window is not None else ():
            if widget.inherits("QOpenGLWidget"):
                widget.makeCurrent()

    viewer.layers.events.removing.connect(on_removing)
