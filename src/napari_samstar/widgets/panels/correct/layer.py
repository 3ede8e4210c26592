"""Accepted objects into Labels layers, and objects out of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels

from napari_samstar.widgets.viewer.history import Action, Edit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_samstar.widgets.viewer.controller import ViewerController


def label_at(layer: Labels | None, spot: tuple[int, int]) -> int:
    """Return the value of a layer of one plane at a pixel (row, col); 0 without a layer."""
    return 0 if layer is None else int(_plane(layer)[spot])


def mask_of(layer: Labels | None, label: int) -> NDArray[np.bool_] | None:
    """Return the pixels (H, W) of an object of a layer of one plane; None without a layer."""
    return None if layer is None else np.asarray(_plane(layer) == label)


def label_under(layer: Labels | None, mask: NDArray[np.bool_]) -> int:
    """Return the object of a layer that covers most of `mask` (H, W), 0 where none does."""
    if layer is None or not mask.any():
        return 0
    counts = np.bincount(_plane(layer)[mask].ravel())
    value = int(counts.argmax())
    return value if counts[value] > mask.sum() / 2 else 0


def write(
    controller: ViewerController, mask: NDArray[np.bool_], label: int, into: Labels | None
) -> Labels | None:
    """Write an object (H, W) as a step that can be undone; None where nothing is free for it.

    Parameters
    ----------
    label : int
        Of the object of `into` that it replaces, 0 for a new one.
    into : Labels, optional
        Only pixels that are free, or of that object, change. A new layer where it is not given.
    """
    placement = controller.layers.placement
    if placement is None:
        return None
    if into is None:
        data = placement.expand(mask.astype(np.int32))
        layer = Labels(data, name=f"{placement.name} corrected", **placement.transform)
        controller.layers.add(layer, f"Accept an object into {layer.name}")
        return layer
    plane = _plane(into)
    value = label or int(plane.max()) + 1
    inside = mask & ((plane == 0) | (plane == value))
    if not inside.any():
        return None
    changed = (plane == value) != inside
    new = np.where(inside, value, 0)
    edit = Edit.of(into, np.nonzero(placement.expand(changed)), new[changed])
    controller.history.do(Action(f"Accept an object into {into.name}", edit.redo, edit.undo))
    return into


def _plane(layer: Labels) -> NDArray[Any]:
    data = np.asarray(layer.data)
    return data.reshape(data.shape[-2:])
