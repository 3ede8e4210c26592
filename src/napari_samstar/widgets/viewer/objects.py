"""The objects that a tool works on: those on show, or those of a Labels layer of the user.

Both are the same to a tool: labels of one plane, of which some are replaced by masks. A change is
one step of undo, and a recipe that repeats the objects knows of it.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from napari.layers import Labels

from napari_samstar.core.interactive.placed_mask import Extent, PlacedMask
from napari_samstar.widgets.viewer.history import Action, Edit
from napari_samstar.widgets.viewer.layer_writer import RECIPE_KEY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_samstar.core.amg.edits import Edits
    from napari_samstar.core.results.result import Result
    from napari_samstar.widgets.viewer.controller import ViewerController


class Objects(Protocol):
    """Objects of one plane that can be changed."""

    name: str
    """For the user."""

    def plane(self) -> NDArray[Any]:
        """Return their labels, int, shape (H, W), not to be changed."""

    def replace(
        self,
        text: str,
        old: Sequence[int],
        new: Sequence[PlacedMask],
        near: Extent | None = None,
    ) -> bool:
        """Replace objects by others as one step of undo, named `text`.

        Other objects keep their pixels. False, and nothing is changed, where those cover all
        pixels of a new one.

        Parameters
        ----------
        near : Extent, optional
            Where the old objects lie: in a large plane they are then not searched for.
        """


def label_at(objects: Objects, pixel: tuple[int, int]) -> int:
    """Return the label at a pixel (row, col), 0 for none."""
    return int(objects.plane()[pixel])


def find_object(plane: NDArray[Any], label: int, near: Extent | None = None) -> PlacedMask | None:
    """Return the mask of an object of labels (H, W); None where there is no such object.

    Without `near` it looks at the whole plane: for large ones not for the GUI thread.
    """
    row0, col0, row1, col1 = (0, 0, *plane.shape) if near is None else near
    row0, col0 = max(row0, 0), max(col0, 0)
    return PlacedMask(np.asarray(plane[row0:row1, col0:col1] == label), row0, col0).tight()


def label_covering(objects: Objects, placed: PlacedMask) -> int:
    """Return the label that covers more than half of a mask; 0 where there is none."""
    mask = placed.mask
    if not mask.any():
        return 0
    counts = np.bincount(objects.plane()[placed.slices][mask].ravel())
    label = int(counts.argmax())
    return label if counts[label] > mask.sum() / 2 else 0


def free_part(plane: NDArray[Any], placed: PlacedMask, old: Sequence[int]) -> PlacedMask | None:
    """Return a mask without the pixels of objects other than `old`; None where nothing is left."""
    part = plane[placed.slices]
    own = (part == 0) | np.isin(part, list(old))
    return PlacedMask(placed.mask & own, placed.row, placed.col).tight()


class ObjectsOnShow:
    """The objects of the session: selected by settings, and edited by the user."""

    name = "The objects on show"

    def __init__(self, controller: ViewerController) -> None:
        self._controller = controller

    def plane(self) -> NDArray[Any]:
        """See `Objects`."""
        labels = self._controller.labels()
        if labels is None:
            result = self._controller.session.result
            return np.zeros((0, 0) if result is None else result.image.shape, dtype=np.int32)
        return np.asarray(labels)

    def replace(
        self,
        text: str,
        old: Sequence[int],
        new: Sequence[PlacedMask],
        near: Extent | None = None,
    ) -> bool:
        """See `Objects`: the masks go into the session's edits."""
        from napari_samstar.core.masks.store import PackedMask

        session = self._controller.session
        result, painting, plane = session.result, session.painting, self.plane()
        if result is None or painting is None:
            return False
        free = [free_part(plane, placed, old) for placed in new]
        masks = [placed for placed in free if placed is not None]
        if len(masks) < len(free):
            return False
        ids = [painting.ids[k] for k in np.flatnonzero(np.isin(painting.values[1:], list(old)))]
        added = result.bank.masks.extend(
            [PackedMask.tight(placed.mask, placed.row, placed.col) for placed in masks]
        )
        after = session.edits.replaced(ids, tuple(added))
        self._controller.history.do(self._action(text, result, session.edits, after))
        return True

    def _action(self, text: str, result: Result, before: Edits, after: Edits) -> Action:
        session = self._controller.session

        def put(edits: Edits) -> None:
            # Another image may be on show by now; its objects are not these.
            if session.result is not None and session.result.bank is result.bank:
                session.edits = edits

        return Action(text, partial(put, after), partial(put, before))


class ObjectsOfLayer:
    """The objects of one plane in a Labels layer of the user.

    Parameters
    ----------
    partly : bool
        Whether only the changed part of the layer is drawn again, which is quick in a large one.
    """

    def __init__(
        self, controller: ViewerController, layer: Labels, *, partly: bool = False
    ) -> None:
        self._controller, self.layer, self._partly = controller, layer, partly
        self.name = layer.name

    def plane(self) -> NDArray[Any]:
        """See `Objects`; a view."""
        data = np.asarray(self.layer.data)
        return data.reshape(data.shape[-2:])

    def replace(
        self,
        text: str,
        old: Sequence[int],
        new: Sequence[PlacedMask],
        near: Extent | None = None,
    ) -> bool:
        """See `Objects`: the pixels of the layer change, and its recipe remembers it."""
        plane = self.plane()
        free = [free_part(plane, placed, old) for placed in new]
        masks = [placed for placed in free if placed is not None]
        if len(masks) < len(free):
            return False
        found = [find_object(plane, label, near) for label in old]
        before = [mask for mask in found if mask is not None]
        where, values = _changes(plane, list(old), before, masks)
        ahead = [np.zeros_like(where[0])] * (self.layer.ndim - 2)
        edit = Edit.of(self.layer, (*ahead, *where), values, partly=self._partly)
        self._controller.history.do(
            _action(f"{text} in {self.name}", self.layer, edit, before, masks)
        )
        return True


def _changes(
    plane: NDArray[Any], old: list[int], before: list[PlacedMask], masks: list[PlacedMask]
) -> tuple[tuple[NDArray[Any], NDArray[Any]], NDArray[Any]]:
    """Return pixels (rows, cols) and their new labels.

    The first new mask takes the number of the first old object, the others new numbers.
    """
    fresh = int(plane.max(initial=0)) + 1
    numbers = [*old[:1], *range(fresh, fresh + len(masks))][: len(masks)]
    rows, cols, values = [], [], []
    for value, placed in [(0, p) for p in before] + list(zip(numbers, masks, strict=True)):
        r, c = np.nonzero(placed.mask)
        rows.append(r + placed.row)
        cols.append(c + placed.col)
        values.append(np.full(len(r), value))
    row, col, value = (np.concatenate(x) if x else np.zeros(0, int) for x in (rows, cols, values))
    # Of several values for one pixel the last counts.
    flat = row * plane.shape[1] + col
    _, last = np.unique(flat[::-1], return_index=True)
    keep = len(flat) - 1 - last
    row, col, value = row[keep], col[keep], value[keep]
    changed = plane[row, col] != value
    return (row[changed], col[changed]), value[changed]


def _action(
    text: str,
    layer: Labels,
    edit: Edit,
    before: list[PlacedMask],
    after: list[PlacedMask],
) -> Action:
    """Return the action that applies an edit, and tells the recipe of the layer."""
    recipe = layer.metadata.get(RECIPE_KEY)
    if not recipe:
        return Action(text, edit.redo, edit.undo)
    from napari_samstar.core.amg.edits import described

    known = dict(layer.metadata)  # a copy: napari refills the same dict
    new = recipe | {
        "pinned": [*recipe.get("pinned", ()), *(described(p.mask, p.row, p.col) for p in after)],
        "dropped": [*recipe.get("dropped", ()), *(described(p.mask, p.row, p.col) for p in before)],
    }
    reference = weakref.ref(layer)

    def put(metadata: dict[str, Any]) -> None:
        target = reference()
        if target is not None:
            target.metadata = metadata

    def redo() -> None:
        put(known | {RECIPE_KEY: new})
        edit.redo()

    def undo() -> None:
        put(known)
        edit.undo()

    return Action(text, redo, undo)
