"""Objects that listen to a viewer's canvas while they are enabled."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator

    import napari


class CanvasListener:
    """Base class; keeps only a weak reference to the viewer.

    Attributes
    ----------
    enabled : bool
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = weakref.ref(getattr(viewer, "__wrapped__", viewer))
        self.enabled = False

    def set_enabled(self, enabled: bool) -> None:
        """Start or stop listening."""
        viewer = self._viewer()
        if viewer is None or enabled == self.enabled:
            return
        self.enabled = enabled
        if enabled:
            self._connect(viewer)
        else:
            self._disconnect(viewer)

    def _connect(self, viewer: napari.Viewer) -> None:
        raise NotImplementedError

    def _disconnect(self, viewer: napari.Viewer) -> None:
        raise NotImplementedError


class MouseListener(CanvasListener):
    """Calls `_on_press` with the viewer and the event when a button is pressed on the canvas."""

    def _connect(self, viewer: napari.Viewer) -> None:
        viewer.mouse_drag_callbacks.append(self._on_press)
        active = viewer.layers.selection.active
        if active is not None and hasattr(active, "mode"):
            active.mode = "pan_zoom"  # the active layer must not use the click as well

    def _disconnect(self, viewer: napari.Viewer) -> None:
        if self._on_press in viewer.mouse_drag_callbacks:
            viewer.mouse_drag_callbacks.remove(self._on_press)

    def _on_press(self, _: Any, event: Any) -> Generator[None, None, None]:
        """Handle one press; a generator, which napari advances until the button is released."""
        raise NotImplementedError
