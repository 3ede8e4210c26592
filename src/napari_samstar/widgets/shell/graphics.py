"""Workaround for the way in which napari 0.9 frees the OpenGL objects of a layer."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    import napari


def make_context_current_on_removal(viewer: napari.Viewer) -> None:
    """Make the canvas's OpenGL context current before a layer is removed.

    napari deletes the layer's textures and buffers at once, in the context that is current. If
    that is the context of the main window, the next layer drawn on the canvas crashes the process:
    with Mesa, when the image of a stack is removed while a layer lies on one of its planes.
    """
    reference = weakref.ref(getattr(viewer, "__wrapped__", viewer))

    def on_removing(_: Any) -> None:
        alive = reference()
        window = getattr(getattr(alive, "window", None), "_qt_window", None)
        for widget in window.findChildren(QWidget) if window is not None else ():
            if widget.inherits("QOpenGLWidget"):
                widget.makeCurrent()

    viewer.layers.events.removing.connect(on_removing)
