"""Clicks and boxes on the canvas, told apart from dragging the image about."""

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


class CorrectingMouse(MouseListener):
    """Calls `click(position, positive)` and `box(from, to)`, in world coordinates, while it is on.

    `say(sentence)` tells why a click did nothing.

    Left adds; right, or left with Ctrl or Alt, removes; dragging with Shift draws a box.
    """

    def __init__(
        self,
        viewer: napari.Viewer,
        click: Callable[[Any, bool], None],
        box: Callable[[Any, Any], None],
        say: Callable[[str], None],
    ) -> None:
        super().__init__(viewer)
        self._click, self._box, self._say = (call_if_alive(call) for call in (click, box, say))

    def _holds_a_tool(self) -> bool:
        """Return whether the user took up a brush or the like meanwhile: then it is theirs."""
        viewer = self._viewer()
        active = None if viewer is None else viewer.layers.selection.active
        return getattr(active, "mode", "pan_zoom") != "pan_zoom"

    def _on_press(self, _: Any, event: Any) -> Generator[None, None, None]:
        if event.button not in (LEFT, RIGHT) or self._holds_a_tool():
            return
        if len(event.dims_displayed) != 2:
            self._say("Switch the viewer to 2D to click on objects.")
            return
        keys = {str(getattr(key, "name", key)) for key in event.modifiers}
        start, at = np.array(event.pos, dtype=float), np.array(event.position, dtype=float)
        boxing = event.button == LEFT and "Shift" in keys
        event.handled = boxing  # the image must not move under the box
        yield
        while event.type == "mouse_move":
            event.handled = boxing
            yield
        still = np.abs(np.array(event.pos, dtype=float) - start).max() <= MAX_CLICK_MOVE
        if still:
            removes = event.button == RIGHT or bool(keys & {"Control", "Alt"})
            self._click(at, not removes)
        elif boxing:
            self._box(at, np.array(event.position, dtype=float))
