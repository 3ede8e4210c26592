"""Reading and writing single objects of Labels layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels

from napari_samstar.core.interactive.placed_mask import PlacedMask
from napari_samstar.widgets.viewer.history import Action, Edit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_samstar.widgets.viewer.controller import ViewerController


def label_at(layer: Labels | None, pixel: tuple[int, int]) -> int:
    """Return the label at a pixel (row, col) of a layer of one plane; 0 without a layer."""
    return 0 if layer is None else int(plane_of(layer)[pixel])


def find_object(plane: NDArray[Any], label: int) -> PlacedMask | None:
    """Return the mask of an object of labels (H, W); None where there is no such object.

    It looks at the whole plane: not for the GUI thread.
    """
    return PlacedMask(np.asarray(plane == label)).tight()


def plane_of(layer: Labels) -> NDArray[Any]:
    """Return the labels (H, W) of a layer of one plane, as a view."""
    data = np.asarray(layer.data)
    return data.reshape(data.shape[-2:])


def label_covering(layer: Labels | None, placed: PlacedMask) -> int:
    """Return the label that covers more than half of a mask; 0 where there is none."""
    mask = placed.mask
    if layer is None or not mask.any():
        return 0
    counts = np.bincount(plane_of(layer)[placed.slices][mask].ravel())
    label = int(counts.argmax())
    return label if counts[label] > mask.sum() / 2 else 0


def write_object(
    controller: ViewerController,
    placed: PlacedMask,
    label: int,
    layer: Labels | None,
    partly: bool = False,
) -> Labels | None:
    """Write an object as one step of undo, and return its layer.

    Parameters
    ----------
    placed : PlacedMask
        Only its part of the layer is looked at and changed.
    label : int
        Of the object of `layer` that it replaces, 0 for a new one.
    layer : Labels, optional
        Only its background and the object's own pixels change. By default a new layer is added.
    partly : bool
        Whether only the changed part of the layer is drawn again, which is quick in a large one.

    Returns
    -------
    Labels or None
        None where all pixels of the mask belong to other objects; nothing is written then.
    """
    placement, result = controller.layers.placement, controller.session.result
    if placement is None or result is None:
        return None
    if layer is None:
        data = np.zeros(result.image.shape, dtype=np.int32)
        data[placed.slices] = placed.mask
        layer = Labels(
            placement.expand(data), name=f"{placement.name} corrected", **placement.transform
        )
        controller.layers.add(layer, f"Accept an object into {layer.name}")
        return layer
    plane = plane_of(layer)
    value = label or int(plane.max()) + 1
    part = plane[placed.slices]
    inside = placed.mask & ((part == 0) | (part == value))
    if not inside.any():
        return None
    changed = (part == value) != inside
    rows, cols = np.nonzero(changed)
    new = np.where(inside, value, 0)[rows, cols]
    ahead = [np.zeros_like(rows)] * (layer.ndim - 2)
    where = (*ahead, rows + placed.row, cols + placed.col)
    text = f"Accept an object into {layer.name}"
    controller.history.do(_action(text, layer, where, new, partly))
    return layer


def _action(
    text: str, layer: Labels, where: tuple[NDArray[Any], ...], new: NDArray[Any], partly: bool
) -> Action:
    edit = Edit.of(layer, where, new)
    if not partly:
        return Action(text, edit.redo, edit.undo)
    part = PartEdit(edit)
    return Action(text, part.redo, part.undo)


@dataclass(frozen=True, eq=False)
class PartEdit:
    """An edit after which only the changed part of the layer is drawn again."""

    edit: Edit

    def redo(self) -> None:
        """Apply the edit."""
        self._replace(self.edit.before, self.edit.after)

    def undo(self) -> None:
        """Revert the edit."""
        self._replace(self.edit.after, self.edit.before)

    def _replace(self, old: NDArray[Any], new: NDArray[Any]) -> None:
        layer, where = self.edit.layer(), self.edit.where
        if layer is None or any(w.max(initial=-1) >= n for w, n in zip(
            where, layer.data.shape, strict=True
        )):  # fmt: skip
            return
        same = layer.data[where] == old  # what was painted meanwhile stays
        layer.data_setitem(tuple(w[same] for w in where), new[same])
        layer.events.data(value=layer.data)  # the Results panel then measures again
