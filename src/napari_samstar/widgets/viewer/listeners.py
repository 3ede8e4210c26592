"""CanvasListener to a viewer's canvas for a while."""

from __future__ import annotations

import weakref
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import napari


class CanvasListener:
    """Something that is switched on and off, and keeps no viewer alive.

    Attributes
    ----------
    on : bool
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = weakref.ref(getattr(viewer, "__wrapped__", viewer))
        self.on = False

    def set_enabled(self, enabled: bool) -> None:
        """Start or stop listening."""
        viewer = self._viewer()
        if viewer is None or on == self.on:
            return
        self.on = on
        if on:
            self._start(viewer)
        else:
            self._stop(viewer)

    def _start(self, viewer: napari.Viewer) -> None:
        raise NotImplementedError

    def _stop(self, viewer: napari.Viewer) -> None:
        raise NotImplementedError


class MouseListener(CanvasListener):
    """Calls `_on_press` with the viewer and the event when a button goes down on the canvas."""

    def _start(self, viewer: napari.Viewer) -> None:
        viewer.mouse_drag_callbacks.append(self._on_press)
        active = viewer.layers.selection.active
        if active is not None and hasattr(active, "mode"):
            active.mode = "pan_zoom"  # a click must not paint as well

    def _stop(self, viewer: napari.Viewer) -> None:
        if self._on_press in viewer.mouse_drag_callbacks:
            viewer.mouse_drag_callbacks.remove(self._on_press)

    def _on_press(self, _: Any, event: Any) -> Generator[None, None, None]:
        raise NotImplementedError
