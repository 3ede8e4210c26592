"""Clicks and boxes on the canvas, as distinct from moving the image."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samstar.widgets.shell.alive import call_if_alive
from napari_samstar.widgets.viewer.clicks import MAX_CLICK_MOVE
from napari_samstar.widgets.viewer.listeners import MouseListener

if TYPE_CHECKING:
    import napari

LEFT, RIGHT = 1, 2


class CorrectionMouse(MouseListener):
    """Turns mouse events of the canvas into clicks and boxes, while it is enabled.

    Left click: positive. Right click, or left click with Ctrl or Alt: negative. Shift and drag: a
    box. A drag: a line, while `draws_lines`.

    Parameters
    ----------
    viewer : napari.Viewer
    on_click : callable
        Called with the position in world coordinates, and whether the click is positive.
    on_box : callable
        Called with two opposite corners in world coordinates.
    on_error : callable
        Called with a sentence for the user where a click cannot be used.

    Attributes
    ----------
    draws_lines : bool
        Whether a drag draws a line instead of moving the image.
    on_line : callable
        Called with both ends of a line in world coordinates.
    """

    def __init__(
        self,
        viewer: napari.Viewer,
        on_click: Callable[[Any, bool], None],
        on_box: Callable[[Any, Any], None],
        on_error: Callable[[str], None],
    ) -> None:
        super().__init__(viewer)
        self._on_click, self._on_box, self._on_error = (
            call_if_alive(method) for method in (on_click, on_box, on_error)
        )
        self.draws_lines = False
        self.on_line: Callable[[Any, Any], None] = lambda *_: None

    def _layer_tool_is_active(self) -> bool:
        """Return whether a brush or another tool of the active layer needs the mouse."""
        viewer = self._viewer()
        active = None if viewer is None else viewer.layers.selection.active
        return getattr(active, "mode", "pan_zoom") != "pan_zoom"

    def _on_press(self, _: Any, event: Any) -> Generator[None, None, None]:
        if event.button not in (LEFT, RIGHT) or self._layer_tool_is_active():
            return
        if len(event.dims_displayed) != 2:
            self._on_error("Switch the viewer to 2D to click on objects.")
            return
        keys = {str(getattr(key, "name", key)) for key in event.modifiers}
        start_pos = np.array(event.pos, dtype=float)
        start = np.array(event.position, dtype=float)
        is_line = event.button == LEFT and self.draws_lines
        is_box = event.button == LEFT and "Shift" in keys and not is_line
        event.handled = is_box or is_line  # the image must not move meanwhile
        yield
        while event.type == "mouse_move":
            event.handled = is_box or is_line
            yield
        moved = np.abs(np.array(event.pos, dtype=float) - start_pos).max()
        if moved <= MAX_CLICK_MOVE:
            negative = event.button == RIGHT or bool(keys & {"Control", "Alt"})
            self._on_click(start, not negative)
        elif is_line:
            self.on_line(start, np.array(event.position, dtype=float))
        elif is_box:
            self._on_box(start, np.array(event.position, dtype=float))
