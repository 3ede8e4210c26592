"""Keys on the canvas that are ours for a while, whichever layer is chosen."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from napari_samstar.widgets.viewer.listeners import CanvasListener

if TYPE_CHECKING:
    import napari


class Keys(CanvasListener):
    """Calls a function for each key pressed on the canvas while it is on.

    What the keys did before comes back when it is off.

    napari asks the active layer first and the viewer last, and Labels have uses of their own for
    Enter and Escape. Hence the keys are bound to the viewer and to the layer that is active.

    Parameters
    ----------
    viewer : napari.Viewer
    calls : mapping of str
        What each key does, by napari's name of the key.
    """

    def __init__(self, viewer: napari.Viewer, calls: Mapping[str, Callable[[], None]]) -> None:
        super().__init__(viewer)
        self._calls = {key: _with_name(call) for key, call in calls.items()}
        self._bound: list[tuple[weakref.ref[Any], dict[str, Any]]] = []

    def _start(self, viewer: napari.Viewer) -> None:
        viewer.layers.selection.events.active.connect(self._on_active)
        self._on_active()

    def _stop(self, viewer: napari.Viewer) -> None:
        viewer.layers.selection.events.active.disconnect(self._on_active)
        self._release()

    def _on_active(self, *_: Any) -> None:
        self._release()
        viewer = self._viewer()
        if viewer is not None:
            for holder in (viewer, viewer.layers.selection.active):
                if holder is not None:
                    self._bind(holder)

    def _bind(self, holder: Any) -> None:
        before = {k: holder.bind_key(k, call, overwrite=True) for k, call in self._calls.items()}
        self._bound.append((weakref.ref(holder), before))

    def _release(self) -> None:
        for held, before in self._bound:
            holder = held()
            if holder is not None:
                for key, call in before.items():
                    holder.bind_key(key, call, overwrite=True)
        self._bound.clear()


def _with_name(call: Callable[[], None]) -> Callable[[Any], None]:
    """Return what napari calls with the viewer or layer; a function, as it asks for its name."""

    def press(_: Any) -> None:
        call()

    return press
