"""Planes of napari layers and their position; `layer_writer` adds and changes layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from napari.utils.transforms import Affine

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.loaded import LoadedImage
from napari_samstar.core.image.units import in_one_unit, length_in
from napari_samstar.widgets.viewer.source_file import about_layer, layer_axes
from napari_samstar.widgets.viewer.world import (
    check_clickable,
    check_shown,
    converted,
    from_viewer,
    to_viewer,
)

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_samstar.core.image.mapping import ImageMapping


@dataclass(frozen=True)
class Placement:
    """Position of one plane of an image layer in world coordinates.

    Attributes
    ----------
    name : str
        Name of the image layer.
    plane : tuple of int
        Index of the plane along the axes before (row, col).
    transform : dict
        Keyword arguments that put a layer with the image's number of axes on this plane.
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
        """Keyword arguments for a layer that has all planes of the image."""
        linear = Affine(
            scale=self.transform["scale"],
            rotate=self.transform["rotate"],
            shear=self.transform["shear"],
            ndim=len(self.plane) + 2,
        ).linear_matrix
        corner = np.array([*self.plane, 0, 0], dtype=float)
        return self.transform | {"translate": self.transform["translate"] - linear @ corner}

    def coarser(self, step: int) -> Placement:
        """Return the placement of a picture of the plane with pixels `step` times as wide."""
        scale, translate = np.array(self.transform["scale"]), np.array(self.transform["translate"])
        linear = Affine(
            scale=scale,
            rotate=self.transform["rotate"],
            shear=self.transform["shear"],
            ndim=len(self.plane) + 2,
        ).linear_matrix
        # The middle of its first pixel is not that of the plane's first pixel.
        offset = np.array([*(0 for _ in self.plane), (step - 1) / 2, (step - 1) / 2])
        scale = scale.copy()
        scale[-2:] *= step
        changed = {"scale": scale, "translate": translate + linear @ offset}
        return Placement(self.name, self.plane, self.transform | changed)

    def matches(self, layer: Labels) -> bool:
        """Return whether a layer has the position and pixel size of the plane."""
        if layer.ndim != len(self.plane) + 2:
            return False
        own = _to_world(self.transform)
        other = _to_world(Placement.of(layer, (0,) * len(self.plane)).transform)
        factors = converted(np.ones(layer.ndim), layer.units, self.transform["units"])
        other = other * factors[:, None]
        return bool(np.allclose(other, own, rtol=1e-5, atol=1e-5 * np.abs(own[:, :-1]).max()))

    def world_to_plane(self, viewer: napari.Viewer, world: Any) -> NDArray[np.float64]:
        """Convert a position of the viewer to px of the plane: (0, ..., row, col) on it.

        UserError where the viewer shows no plane of rows and columns.
        """
        ndim = len(self.plane) + 2
        check_clickable(viewer, ndim)
        names = ("scale", "rotate", "shear", "translate")
        data_to_physical = Affine(**{name: self.transform[name] for name in names}, ndim=ndim)
        physical_to_world = Affine(affine_matrix=self.transform["affine"])
        own = from_viewer(viewer, world, self.transform["units"])
        physical = physical_to_world.inverse(own)
        return np.asarray(data_to_physical.inverse(physical))

    def world_to_pixel(self, viewer: napari.Viewer, world: Any) -> tuple[int, int] | None:
        """Return the plane's pixel (row, col) at a position of the viewer.

        None if the position is on another plane of the stack; UserError as `world_to_plane`.
        """
        *ahead, row, col = np.floor(self.world_to_plane(viewer, world) + 0.5).astype(int).tolist()
        return None if any(ahead) else (row, col)

    def expand(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Reshape labels (H, W) to the image's number of axes: (1, ..., H, W)."""
        return labels.reshape((1,) * len(self.plane) + labels.shape)


def _to_world(transform: dict[str, Any]) -> NDArray[np.float64]:
    """Return the matrix (n, n + 1) from px to world coordinates, in the units of the transform."""
    names = ("scale", "rotate", "shear", "translate")
    affine = np.asarray(transform["affine"])
    inner = Affine(**{name: transform[name] for name in names}, ndim=len(affine) - 1)
    return np.asarray(affine @ inner.affine_matrix)[:-1]


def image_layers(viewer: napari.Viewer) -> list[Image]:
    """Return the image layers, top first."""
    return [layer for layer in reversed(viewer.layers) if isinstance(layer, Image)]


def shown_plane(layer: Image | Labels, viewer: napari.Viewer) -> tuple[int, ...]:
    """Return the index of the plane of `layer` that the viewer displays, () for a 2D layer.

    Raises
    ------
    UserError
        Where it displays none: in 3D, or with other axes than rows and columns.
    """
    check_shown(viewer, layer.ndim)
    if not leading_shape(layer):
        return ()
    return _plane_at(layer, from_viewer(viewer, viewer.dims.point, layer.units))


def shown_index(layer: Image | Labels, viewer: napari.Viewer) -> tuple[int, ...] | None:
    """Return the plane of `layer` that the viewer displays, as `shown_plane`, None for none."""
    try:
        return shown_plane(layer, viewer)
    except UserError:
        return None


def show_plane(layer: Image | Labels, viewer: napari.Viewer, plane: tuple[int, ...]) -> None:
    """Move the viewer's sliders to a plane of `layer`."""
    world = to_viewer(viewer, layer.data_to_world((*plane, 0, 0)), layer.units)
    first = viewer.dims.ndim - layer.ndim
    for axis, value in enumerate(np.asarray(world)[-layer.ndim : -2]):
        viewer.dims.set_point(first + axis, float(value))


def labels_plane(labels: Labels, image: Image) -> tuple[int, ...] | None:
    """Return the plane of a stack that labels are on; None if they cover the whole image."""
    leading = leading_shape(image)
    if not leading or labels.data.shape[:-2] == leading:
        return None
    world = labels.data_to_world((0,) * labels.ndim)
    return _plane_at(image, converted(world, labels.units, image.units))


def labels_fit_image(labels: Labels, image: Image) -> bool:
    """Return whether labels have the shape of an image, or of one plane of it."""
    whole = image.data[0].shape if image.multiscale else image.data.shape
    rows, cols = whole[-3:-1] if image.rgb else whole[-2:]
    leading = labels.data.shape[:-2]
    return labels.data.shape[-2:] == (rows, cols) and (
        leading == leading_shape(image) or all(n == 1 for n in leading)
    )


def loaded_image(layer: Image, plane: tuple[int, ...], mapping: ImageMapping) -> LoadedImage:
    """Describe one plane of a layer; looks at no pixel."""
    size, unit = pixel_size(layer)
    data = list(layer.data) if layer.multiscale else layer.data
    mapping = mapping.replace(plane=plane or None)
    axes, file = layer_axes(layer), about_layer(layer)
    return LoadedImage(
        data,
        bool(layer.rgb),
        axes,
        size,
        unit,
        name=layer.name,
        mapping=mapping,
        z_step=_step_along(layer, axes, "Z", unit) or _step_in_file(file, unit),
        frame_time=None if file is None else file.frame_time,
        channel_names=() if file is None else file.channel_names,
        channel_colours=() if file is None else file.channel_colours,
        bar_rows=None if file is None else file.bar_rows,
    )


def visible_box(layer: Image) -> tuple[int, int, int, int]:
    """Return the part of an image that the canvas shows: (x0, y0, x1, y1), px of the full size."""
    (row0, col0), (row1, col1) = np.asarray(layer.corner_pixels)[:, -2:].tolist()
    step = layer.downsample_factors[layer.data_level][-2:] if layer.multiscale else (1, 1)
    return (
        int(col0 * step[1]),
        int(row0 * step[0]),
        int((col1 + 1) * step[1]),
        int((row1 + 1) * step[0]),
    )


def pixel_size(layer: Image | Labels) -> tuple[tuple[float, float] | None, str]:
    """Return the (row, col) size of a pixel in "nm" or "µm"; (None, "px") if it is not calibrated.

    The whole transform of the layer counts: its scale and its affine. A mirrored axis has a
    negative scale and a positive size.
    """
    row, col = pixel_steps(layer)[-2:].tolist()
    return in_one_unit(row, str(layer.units[-2]), col, str(layer.units[-1]))


def pixel_steps(layer: Image | Labels) -> NDArray[np.float64]:
    """Return the distance of neighbouring pixels along each axis, in the layer's units."""
    linear = Affine(
        scale=layer.scale, rotate=layer.rotate, shear=layer.shear, ndim=layer.ndim
    ).linear_matrix
    whole = np.asarray(layer.affine.linear_matrix) @ linear
    return np.asarray(np.linalg.norm(whole, axis=0))


def _step_along(layer: Image, axes: str, letter: str, unit: str) -> float | None:
    """Return the distance of planes along an axis in a unit; None where it is not known."""
    axis = axes.find(letter)
    if not 0 <= axis < layer.ndim:
        return None
    return length_in(pixel_steps(layer)[axis], str(layer.units[axis]), unit)


def _step_in_file(file: LoadedImage | None, unit: str) -> float | None:
    """Return the distance of planes that a file gives, in a unit; None where it is not known."""
    return None if file is None else length_in(file.z_step, file.unit, unit)


def leading_shape(layer: Image | Labels) -> tuple[int, ...]:
    """Return the lengths of the axes before (row, col)."""
    data = layer.data[0] if layer.multiscale else layer.data
    return tuple(int(n) for n in data.shape[: layer.ndim - 2])


def _plane_at(layer: Image | Labels, world: Any) -> tuple[int, ...]:
    """Return the index of the plane of a layer that is nearest to a world position."""
    sizes = leading_shape(layer)
    at = layer.world_to_data(world)[: len(sizes)]
    return tuple(int(np.clip(round(x), 0, n - 1)) for x, n in zip(at, sizes, strict=True))
