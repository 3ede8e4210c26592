"""Planes out of napari layers, and where they lie; what goes back in is `_writer`'s."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from napari.utils.transforms import Affine

from napari_samstar.core.image.source import Source

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_samstar.core.image.mapping import ImageMapping


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
    def of(cls, layer: Image | Labels, plane: tuple[int, ...]) -> Placement:
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

    @property
    def stack_transform(self) -> dict[str, Any]:
        """Keyword arguments for a layer with all planes of the image."""
        linear = Affine(
            scale=self.transform["scale"],
            rotate=self.transform["rotate"],
            shear=self.transform["shear"],
            ndim=len(self.plane) + 2,
        ).linear_matrix
        corner = np.array([*self.plane, 0, 0], dtype=float)
        return self.transform | {"translate": self.transform["translate"] - linear @ corner}

    def world_to_plane(self, world: Any) -> NDArray[np.float64]:
        """Return a world position in px of the plane: (0, ..., row, col) if it lies on it."""
        there = self.transform
        ndim = len(self.plane) + 2
        names = ("scale", "rotate", "shear", "translate")
        own = Affine(**{name: there[name] for name in names}, ndim=ndim)
        whole = Affine(affine_matrix=there["affine"]).inverse
        return np.asarray(own.inverse(whole(np.asarray(world, dtype=float)[-ndim:])))

    def world_to_pixel(self, world: Any) -> tuple[int, int] | None:
        """Return the (row, col) of the plane's pixel at a position in the world.

        None where the position lies on another plane of the stack.
        """
        *ahead, row, col = np.floor(self.world_to_plane(world) + 0.5).astype(int).tolist()
        return None if any(ahead) else (row, col)

    def expand(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Give (H, W) labels the axes of the image, each of length one."""
        return labels.reshape((1,) * len(self.plane) + labels.shape)


def image_layers(viewer: napari.Viewer) -> list[Image]:
    """Return the image layers, top first."""
    return [layer for layer in reversed(viewer.layers) if isinstance(layer, Image)]


def shown_plane(layer: Image | Labels, viewer: napari.Viewer) -> tuple[int, ...]:
    """Return the index of the plane of `layer` that the viewer shows."""
    sizes = leading_shape(layer)
    if not sizes:
        return ()
    at = layer.world_to_data(viewer.dims.point[-layer.ndim :])[: len(sizes)]
    return tuple(int(np.clip(round(x), 0, n - 1)) for x, n in zip(at, sizes, strict=True))


def source_of(layer: Image, plane: tuple[int, ...], mapping: ImageMapping) -> Source:
    """Describe one plane of a layer; looks at no pixel."""
    size, unit = pixel_size(layer)
    data = list(layer.data) if layer.multiscale else layer.data
    mapping = mapping.replace(plane=plane or None)
    return Source(data, mapping, bool(layer.rgb), size, unit, layer.name)


def pixel_size(layer: Image | Labels) -> tuple[tuple[float, float] | None, str]:
    """Return the pixel's (row, col) size and its unit, or (None, "px") where it has none."""
    unit = f"{layer.units[-1]:~}"
    if unit in ("pixel", "px", "") or layer.units[-1] != layer.units[-2]:
        return None, "px"
    row, col = layer.scale[-2:]
    return (float(row), float(col)), unit


def leading_shape(layer: Image | Labels) -> tuple[int, ...]:
    """Return the lengths of the axes before (row, col)."""
    data = layer.data[0] if layer.multiscale else layer.data
    return tuple(int(n) for n in data.shape[: layer.ndim - 2])
