"""The only code that touches napari layers: planes out of them, label layers into the viewer."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from napari.utils.transforms import Affine

from napari_samstar.core.source import Source
from napari_samstar.widgets._shared import PREVIEW_NAME

if TYPE_CHECKING:
    import napari
    from numpy.typing import NDArray

    from napari_samstar.core.images import Mapping

RECIPE_KEY = "samstar_recipe"
"""Under this key a Labels layer's metadata holds its recipe."""


@dataclass(frozen=True)
class Placement:
    """Where a plane of an image layer lies in the world, so that labels lie there too.

    Attributes
    ----------
    name : str
        Of the image layer.
    plane : tuple of int
        Index of the plane along the axes before (row, col).
    transform : dict
        Keyword arguments for a layer with as many axes as the image.
    """

    name: str
    plane: tuple[int, ...]
    transform: dict[str, Any]

    @classmethod
    def of(cls, layer: Image, plane: tuple[int, ...]) -> Placement:
        """Return the placement of one plane of `layer`."""
        linear = Affine(
            scale=layer.scale, rotate=layer.rotate, shear=layer.shear, ndim=layer.ndim
        ).linear_matrix
        corner = np.array([*plane, 0, 0], dtype=float)
        transform = {
            "scale": np.array(layer.scale),
            "rotate": np.array(layer.rotate),
            "shear": np.array(layer.shear),
            "affine": np.array(layer.affine.affine_matrix),
            "translate": np.array(layer.translate) + linear @ corner,
            "units": layer.units,
        }
        return cls(layer.name, plane, transform)

    def expand(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Give (H, W) labels the axes of the image, each of length one."""
        return labels.reshape((1,) * len(self.plane) + labels.shape)


def image_layers(viewer: napari.Viewer) -> list[Image]:
    """Return the image layers, top first."""
    return [layer for layer in reversed(viewer.layers) if isinstance(layer, Image)]


def shown_plane(layer: Image, viewer: napari.Viewer) -> tuple[int, ...]:
    """Return the index of the plane of `layer` that the viewer shows."""
    ahead = layer.ndim - 2
    if not ahead:
        return ()
    at = layer.world_to_data(viewer.dims.point[-layer.ndim :])[:ahead]
    sizes = _shape(layer)[:ahead]
    return tuple(int(np.clip(round(x), 0, n - 1)) for x, n in zip(at, sizes, strict=True))


def source_of(layer: Image, plane: tuple[int, ...], mapping: Mapping) -> Source:
    """Describe one plane of a layer; looks at no pixel."""
    size, unit = pixel_size(layer)
    data = list(layer.data) if layer.multiscale else layer.data
    if mapping.stretch == "limits":
        low, high = layer.contrast_limits
        mapping = mapping.replace(limits=(float(low), float(high)))
    mapping = mapping.replace(plane=plane or None)
    return Source(data, mapping, bool(layer.rgb), size, unit, layer.name)


def pixel_size(layer: Image) -> tuple[tuple[float, float] | None, str]:
    """Return the pixel's (row, col) size and its unit, or (None, "px") where it has none."""
    unit = f"{layer.units[-1]:~}"
    if unit in ("pixel", "px", "") or layer.units[-1] != layer.units[-2]:
        return None, "px"
    row, col = layer.scale[-2:]
    return (float(row), float(col)), unit


def _shape(layer: Image) -> tuple[int, ...]:
    data = layer.data[0] if layer.multiscale else layer.data
    return tuple(data.shape)


class LayerWriter:
    """Shows a preview, and turns it into a Labels layer of the user's own."""

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = weakref.ref(viewer)
        self.placement: Placement | None = None

    def preview(self, labels: NDArray[np.int32]) -> None:
        """Show labels (H, W) in the temporary layer, which is made where it is missing."""
        viewer, placement = self._viewer(), self.placement
        if viewer is None or placement is None:
            return
        data = placement.expand(labels)
        layer = self._preview_layer()
        if layer is not None and layer.data.shape == data.shape and _lies_at(layer, placement):
            layer.data = data
            return
        if layer is not None:
            viewer.layers.remove(layer)
        layer = Labels(data, name=PREVIEW_NAME, opacity=0.6, **placement.transform)
        layer.editable = False
        selected = viewer.layers.selection.active
        viewer.add_layer(layer)
        if selected is not None:
            viewer.layers.selection.active = selected  # the user did not ask for another layer

    def apply(self, labels: NDArray[np.int32], recipe: dict[str, Any]) -> Labels | None:
        """Add a Labels layer that carries the recipe; what is there stays as it is."""
        viewer, placement = self._viewer(), self.placement
        if viewer is None or placement is None:
            return None
        layer = Labels(
            placement.expand(labels).copy(),
            name=f"{placement.name} objects",
            metadata={RECIPE_KEY: recipe},
            **placement.transform,
        )
        preview = self._preview_layer()
        if preview is not None:
            preview.visible = False
        viewer.add_layer(layer)
        return layer

    def _preview_layer(self) -> Labels | None:
        viewer = self._viewer()
        if viewer is None:
            return None
        found = [x for x in viewer.layers if isinstance(x, Labels) and x.name == PREVIEW_NAME]
        return found[0] if found else None


def _lies_at(layer: Labels, placement: Placement) -> bool:
    there = placement.transform
    return bool(
        np.allclose(layer.translate, there["translate"])
        and np.allclose(layer.scale, there["scale"])
        and np.allclose(layer.affine.affine_matrix, there["affine"])
        and np.allclose(layer.rotate, there["rotate"])
    )
