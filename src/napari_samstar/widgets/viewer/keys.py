"""Temporary key bindings on the canvas, whichever layer is active."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from napari_samstar.widgets.viewer.listeners import CanvasListener

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import napari


class KeyBindings(CanvasListener):
    """Calls a function for each of some keys pressed on the canvas, while enabled.

    The bindings that the keys had before are restored when it is disabled.

    napari looks for a binding in the active layer first and in the viewer last, and Labels layers
    bind Enter and Escape. Hence the keys are bound to the viewer and to the active layer.

    Parameters
    ----------
    viewer : napari.Viewer
    calls : mapping of str to callable
        Function of each key, by napari's name of the key.
    """

    def __init__(self, viewer: napari.Viewer, calls: Mapping[str, Callable[[], None]]) -> None:
        super().__init__(viewer)
        self._calls = dict(calls)
        self._bound: list[tuple[weakref.ref[Any], dict[str, Any]]] = []

    def _connect(self, viewer: napari.Viewer) -> None:
        viewer.layers.selection.events.active.connect(self._rebind)
        self._rebind()

    def _disconnect(self, viewer: napari.Viewer) -> None:
        viewer.layers.selection.events.active.disconnect(self._rebind)
        self._unbind()

    def _rebind(self, *_: Any) -> None:
        self._unbind()
        viewer = self._viewer()
        if viewer is not None:
            for owner in (viewer, viewer.layers.selection.active):
                if owner is not None:
                    self._bind(owner)

    def _bind(self, owner: Any) -> None:
        """Bind the keys of a viewer or layer."""
        before: dict[str, Any] = {}
        for key, call in self._calls.items():
            previous = owner.bind_key(key, None, overwrite=True)
            before[key] = previous
            owner.bind_key(key, _binding(call, previous, self._tool_in_use), overwrite=True)
        self._bound.append((weakref.ref(owner), before))

    def _tool_in_use(self) -> bool:
        """Return whether a brush or another tool of the active layer is used, which has keys."""
        viewer = self._viewer()
        active = None if viewer is None else viewer.layers.selection.active
        return getattr(active, "mode", "pan_zoom") != "pan_zoom"

    def _unbind(self) -> None:
        for reference, before in self._bound:
            owner = reference()
            if owner is not None:
                for key, call in before.items():
                    owner.bind_key(key, call, overwrite=True)
        self._bound.clear()


def _binding(
    call: Callable[[], None], previous: Any, tool_in_use: Callable[[], bool]
) -> Callable[[Any], Any]:
    """Return a plain function; napari needs its `__name__`.

    While a tool of the layer is used, the key does what it did before.
    """

    def on_pressed(owner: Any) -> Any:
        if not tool_in_use():
            call()
        elif callable(previous):
            return previous(owner)
        return None

    return on_pressed
