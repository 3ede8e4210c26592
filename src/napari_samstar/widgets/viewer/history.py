"""Undo and redo of what the plugin does to layers, across all of them."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

if TYPE_CHECKING:
    from napari.layers import Labels
    from numpy.typing import NDArray

DEPTH = 100
"""Steps that are remembered."""


@dataclass(frozen=True, eq=False)
class Action:
    """One step: what it is called, how it is done and how it is undone."""

    text: str
    redo: Callable[[], None]
    undo: Callable[[], None]


class History:
    """The steps of one viewer; `changed` is emitted after every change."""

    changed = Signal()

    def __init__(self) -> None:
        self._done: list[Action] = []
        self._undone: list[Action] = []

    @property
    def undo_text(self) -> str:
        """What `undo` would take back, empty where there is nothing."""
        return self._done[-1].text if self._done else ""

    @property
    def redo_text(self) -> str:
        """What `redo` would do again, empty where there is nothing."""
        return self._undone[-1].text if self._undone else ""

    def do(self, action: Action) -> None:
        """Carry out a step and remember it; what was undone before is forgotten."""
        action.redo()
        self._done = [*self._done, action][-DEPTH:]
        self._undone.clear()
        self.changed.emit()

    def undo(self) -> None:
        """Take the last step back."""
        if self._done:
            action = self._done.pop()
            action.undo()
            self._undone.append(action)
            self.changed.emit()

    def redo(self) -> None:
        """Do the last step that was taken back again."""
        if self._undone:
            action = self._undone.pop()
            action.redo()
            self._done.append(action)
            self.changed.emit()

    def clear(self) -> None:
        """Forget every step, and the layers that were kept for it."""
        self._done.clear()
        self._undone.clear()
        self.changed.emit()


@dataclass(frozen=True, eq=False)
class Edit:
    """New values for some pixels of a Labels layer.

    Only pixels that still have the value they are expected to have are changed, so that what the
    user painted in the meantime stays.

    Attributes
    ----------
    where : tuple of ndarray
        Indices into the layer's data, as `numpy.nonzero` gives them.
    before, after : ndarray
    """

    layer: weakref.ref[Labels]
    where: tuple[NDArray[Any], ...]
    before: NDArray[Any]
    after: NDArray[Any]

    @classmethod
    def of(cls, layer: Labels, where: tuple[NDArray[Any], ...], value: Any) -> Edit:
        """Return the edit that gives the pixels `where` a value, or an array of values."""
        before = np.asarray(layer.data[where])
        after = np.broadcast_to(np.asarray(value, dtype=before.dtype), before.shape).copy()
        return cls(weakref.ref(layer), where, before, after)

    def redo(self) -> None:
        """Make the edit."""
        self._put(self.before, self.after)

    def undo(self) -> None:
        """Take the edit back."""
        self._put(self.after, self.before)

    def _put(self, old: NDArray[Any], new: NDArray[Any]) -> None:
        layer = self.layer()
        if layer is None or any(w.max(initial=-1) >= n for w, n in zip(
            self.where, layer.data.shape, strict=True
        )):  # fmt: skip
            return
        free = layer.data[self.where] == old
        layer.data[tuple(w[free] for w in self.where)] = new[free]
        layer.events.data(value=layer.data)  # the table measures anew
        layer.refresh()
