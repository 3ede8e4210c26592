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
        self._calls = {key: _binding(call) for key, call in calls.items()}
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
        before = {k: owner.bind_key(k, call, overwrite=True) for k, call in self._calls.items()}
        self._bound.append((weakref.ref(owner), before))

    def _unbind(self) -> None:
        for reference, before in self._bound:
            owner = reference()
            if owner is not None:
                for key, call in before.items():
                    owner.bind_key(key, call, overwrite=True)
        self._bound.clear()


def _binding(call: Callable[[], None]) -> Callable[[Any], None]:
    """Return a plain function that ignores the viewer or layer; napari needs its `__name__`."""

    def on_pressed(_: Any) -> None:
        call()

    return on_pressed
