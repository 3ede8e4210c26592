"""Undo and redo of the plugin's changes to layers, in one history for all layers."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Labels
    from numpy.typing import NDArray

MAX_ACTIONS = 100
"""Older ones are forgotten."""


@dataclass(frozen=True, eq=False)
class Action:
    """One step: its name for the user, and functions that do it and undo it."""

    text: str
    redo: Callable[[], None]
    undo: Callable[[], None]


class History:
    """The actions of one viewer; `changed` is emitted after every change."""

    changed = Signal()

    def __init__(self) -> None:
        self._done: list[Action] = []
        self._undone: list[Action] = []

    @property
    def undo_text(self) -> str:
        """Name of the action that `undo` would undo, empty if there is none."""
        return self._done[-1].text if self._done else ""

    @property
    def redo_text(self) -> str:
        """Name of the action that `redo` would repeat, empty if there is none."""
        return self._undone[-1].text if self._undone else ""

    def do(self, action: Action) -> None:
        """Do an action and remember it; actions that were undone are forgotten."""
        action.redo()
        self._done = [*self._done, action][-MAX_ACTIONS:]
        self._undone.clear()
        self.changed.emit()

    def undo(self) -> None:
        """Undo the last action."""
        if self._done:
            action = self._done.pop()
            action.undo()
            self._undone.append(action)
            self.changed.emit()

    def redo(self) -> None:
        """Repeat the action that was undone last."""
        if self._undone:
            action = self._undone.pop()
            action.redo()
            self._done.append(action)
            self.changed.emit()

    def clear(self) -> None:
        """Forget all actions, and release the layers that they hold."""
        self._done.clear()
        self._undone.clear()
        self.changed.emit()


@dataclass(frozen=True, eq=False)
class Edit:
    """New values for some pixels of a Labels layer.

    Only pixels that still have the expected value are changed, so that what the user has painted
    in the meantime stays.

    Attributes
    ----------
    layer : weak reference to Labels
    where : tuple of ndarray of int
        Indices into the layer's data, as returned by `numpy.nonzero`.
    before, after : ndarray of the layer's dtype, shape (n,)
        Values before and after the edit.
    partly : bool
        Whether only the changed part of the layer is drawn again, which is quick in a large one.
    """

    layer: weakref.ref[Labels]
    where: tuple[NDArray[Any], ...]
    before: NDArray[Any]
    after: NDArray[Any]
    partly: bool = False

    @classmethod
    def of(
        cls, layer: Labels, where: tuple[NDArray[Any], ...], value: Any, *, partly: bool = False
    ) -> Edit:
        """Return the edit that sets the pixels `where` to a value, or to an array of values."""
        before = np.asarray(layer.data[where])
        after = np.broadcast_to(np.asarray(value, dtype=before.dtype), before.shape).copy()
        return cls(weakref.ref(layer), where, before, after, partly)

    def redo(self) -> None:
        """Apply the edit."""
        self._replace(self.before, self.after)

    def undo(self) -> None:
        """Revert the edit."""
        self._replace(self.after, self.before)

    def _replace(self, old: NDArray[Any], new: NDArray[Any]) -> None:
        layer = self.layer()
        if layer is None or any(w.max(initial=-1) >= n for w, n in zip(
            self.where, layer.data.shape, strict=True
        )):  # fmt: skip
            return
        unchanged = layer.data[self.where] == old
        where = tuple(w[unchanged] for w in self.where)
        if self.partly:
            layer.data_setitem(where, new[unchanged])
        else:
            layer.data[where] = new[unchanged]
            layer.refresh()
        layer.events.data(value=layer.data)  # the Results panel then measures again
