"""Reading and writing single objects of Labels layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels

from napari_samstar.widgets.viewer.history import Action, Edit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_samstar.widgets.viewer.controller import ViewerController


def label_at(layer: Labels | None, pixel: tuple[int, int]) -> int:
    """Return the label at a pixel (row, col) of a layer of one plane; 0 without a layer."""
    return 0 if layer is None else int(_plane_data(layer)[pixel])


def object_mask(layer: Labels | None, label: int) -> NDArray[np.bool_] | None:
    """Return the mask (H, W) of an object of a layer of one plane; None without a layer."""
    return None if layer is None else np.asarray(_plane_data(layer) == label)


def label_covering(layer: Labels | None, mask: NDArray[np.bool_]) -> int:
    """Return the label that covers more than half of `mask` (H, W); 0 where there is none."""
    if layer is None or not mask.any():
        return 0
    counts = np.bincount(_plane_data(layer)[mask].ravel())
    label = int(counts.argmax())
    return label if counts[label] > mask.sum() / 2 else 0


def write_object(
    controller: ViewerController, mask: NDArray[np.bool_], label: int, layer: Labels | None
) -> Labels | None:
    """Write an object as one step of undo, and return its layer.

    Parameters
    ----------
    mask : ndarray of bool, shape (H, W)
    label : int
        Of the object of `layer` that it replaces, 0 for a new one.
    layer : Labels, optional
        Only its background and the object's own pixels change. By default a new layer is added.

    Returns
    -------
    Labels or None
        None where all pixels of the mask belong to other objects; nothing is written then.
    """
    placement = controller.layers.placement
    if placement is None:
        return None
    if layer is None:
        data = placement.expand(mask.astype(np.int32))
        layer = Labels(data, name=f"{placement.name} corrected", **placement.transform)
        controller.layers.add(layer, f"Accept an object into {layer.name}")
        return layer
    plane = _plane_data(layer)
    value = label or int(plane.max()) + 1
    inside = mask & ((plane == 0) | (plane == value))
    if not inside.any():
        return None
    changed = (plane == value) != inside
    new = np.where(inside, value, 0)
    edit = Edit.of(layer, np.nonzero(placement.expand(changed)), new[changed])
    controller.history.do(Action(f"Accept an object into {layer.name}", edit.redo, edit.undo))
    return layer


def _plane_data(layer: Labels) -> NDArray[Any]:
    data = np.asarray(layer.data)
    return data.reshape(data.shape[-2:])
