"""Take one 2-D plane out of whatever a layer or a file holds; nothing else is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from napari_samstar.core.errors import UserError

if TYPE_CHECKING:
    from napari_samstar.core.image.mapping import ImageMapping, Projection

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

SMALLEST_SIDE = 8
"""Pixels; below this there is nothing that SAM, fed 1024 x 1024, could find."""

MOST_PIXELS = 400_000_000
"""Most pixels of a plane that is taken at once; larger ones are read window by window."""

MOST_AXES = 5
"""Most axes of an image, not counting the colours."""


def take_plane(
    array: Any, mapping: ImageMapping, rgb: bool | None, axes: str = ""
) -> tuple[Array, bool, list[str]]:
    """Return the plane that `mapping` asks for, whether it is in colour, and what was decided.

    Parameters
    ----------
    array : array or sequence of arrays
        See `napari_samstar.core.image.prepare.prepare`.
    mapping : ImageMapping
        Its `plane`, `projection` and `channel` are used.
    rgb : bool, optional
        Whether the last axis is colour; None decides by `is_colour`.
    axes : str
        One letter per axis, see `LoadedImage.axes`; empty where they are not known.

    Returns
    -------
    plane : ndarray
        (H, W) or (H, W, 3), bool, integer or float, as stored.
    colour : bool
        Whether `plane` is (H, W, 3).
    notes : list of str
        One sentence per decision that the user did not make.
    """
    found = find_plane(array, mapping, rgb, axes)
    rows, cols = found.shape
    if rows * cols > MOST_PIXELS:
        raise UserError(
            f"The plane is {rows} x {cols} pixels, more than the {MOST_PIXELS:,} that are taken at "
            "once: crop it, or set the projection to 'none'."
        )
    notes = list(found.notes)
    if mapping.projection == "none":
        plane = found.stored()
    else:
        plane = _project(found.array, found.index, mapping.projection)
    if found.colour:
        plane, colour = _pick_colours(plane, mapping.channel, notes)
        return plane, colour, notes
    return plane, False, notes


@dataclass(frozen=True, eq=False)
class PlaneRef:
    """Where a plane lies in an array; nothing is read yet.

    Attributes
    ----------
    array : array
        (..., H, W), or (..., H, W, 3 or 4) in colour.
    index : tuple of int
        One index for each axis before rows and columns.
    colour : bool
        Whether the last axis of `array` is colour.
    notes : tuple of str
        One sentence for each decision that the user did not make.
    """

    array: Any
    index: tuple[int, ...]
    colour: bool
    notes: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, cols = self.array.shape[-3:-1] if self.colour else self.array.shape[-2:]
        return int(rows), int(cols)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the stored values."""
        found: np.dtype[Any] = np.dtype(self.array.dtype)
        return found

    def stored(self, rows: slice = slice(None), cols: slice = slice(None)) -> Array:
        """Read a window as it is stored: (h, w), or (h, w, 3 or 4) in colour."""
        return np.asarray(self.array[(*self.index, rows, cols)])


def find_plane(array: Any, mapping: ImageMapping, rgb: bool | None, axes: str = "") -> PlaneRef:
    """Return where the plane lies that `mapping` asks for; see `take_plane`."""
    notes: list[str] = []
    array = _finest_level(array, notes)
    _check_dtype(array.dtype)
    colour = is_colour(array, rgb)
    leading = _leading_shape(array, colour)
    index = _plane_index(leading, mapping, colour, notes, axes)
    return PlaneRef(array, index, colour, tuple(notes))


def is_colour(array: Any, rgb: bool | None = None) -> bool:
    """Return whether the last axis is RGB or RGBA.

    True where `rgb` says so; where it is None, true for uint8 with three or more axes of which the
    last has length 3 or 4.
    """
    fits = len(array.shape) >= 3 and array.shape[-1] in (3, 4)
    if rgb and not fits:
        raise UserError(
            f"A colour image needs a last axis of length 3 or 4, but the shape is "
            f"{tuple(array.shape)}: turn the colour setting off or move the axis."
        )
    return fits and array.dtype == np.uint8 if rgb is None else rgb


def _finest_level(array: Any, notes: list[str]) -> Any:
    if isinstance(array, str | bytes):
        raise UserError("A name was given instead of an image: read the file first.")
    if not isinstance(array, Sequence) or len(array) == 0 or not hasattr(array[0], "shape"):
        return array if hasattr(array, "shape") and hasattr(array, "dtype") else np.asarray(array)
    if len(array) > 1 and int(np.prod(array[1].shape)) >= int(np.prod(array[0].shape)):
        raise UserError(
            "The list of images is not a multiscale image, largest first: give one image, or stack "
            "equal ones with numpy.stack."
        )
    if len(array) > 1:
        notes.append(f"The finest of {len(array)} resolution levels was taken.")
    return array[0]


def _check_dtype(dtype: Any) -> None:
    kind = np.dtype(dtype).kind
    if kind == "c":
        raise UserError(
            "The image holds complex numbers: convert it first, for example with numpy.abs."
        )
    if kind not in "buif":
        raise UserError(
            f"The image holds values of type {np.dtype(dtype)}, not numbers: "
            "convert it to a numeric array first."
        )


def _leading_shape(array: Any, colour: bool) -> tuple[int, ...]:
    shape = tuple(int(n) for n in array.shape)
    spatial = shape[:-1] if colour else shape
    if len(spatial) < 2:
        raise UserError(
            f"An image needs rows and columns, but this array has shape {shape}: "
            "choose a layer with at least two axes."
        )
    if len(spatial) > MOST_AXES:
        raise UserError(
            f"The image has {len(spatial)} axes and at most {MOST_AXES} are handled: "
            "take a part of it first."
        )
    if 0 in shape:
        raise UserError(f"The image is empty (shape {shape}): choose one that holds pixels.")
    if min(spatial[-2:]) < SMALLEST_SIDE:
        raise UserError(
            f"The plane is {spatial[-2]} x {spatial[-1]} pixels and at least {SMALLEST_SIDE} x "
            f"{SMALLEST_SIDE} are needed: choose a larger image, or move rows and columns last "
            f"(the shape is {shape})."
        )
    return spatial[:-2]


def _plane_index(
    leading: tuple[int, ...], mapping: ImageMapping, colour: bool, notes: list[str], axes: str
) -> tuple[int, ...]:
    """Return one index per leading axis; the one of a projected axis is not used."""
    if mapping.plane is not None and len(mapping.plane) != len(leading):
        raise UserError(
            f"The plane {mapping.plane} has {len(mapping.plane)} numbers, but the image has "
            f"{len(leading)} axes before rows and columns: give one number for each."
        )
    index = list(mapping.plane) if mapping.plane is not None else [n // 2 for n in leading]
    fixed: set[int] = set()
    if mapping.projection != "none":
        if not leading:
            raise UserError("A single plane cannot be projected: set the projection to 'none'.")
        fixed.add(0)
    if mapping.channel is not None and not colour:
        _put_channel(index, leading, mapping.channel, fixed, axes)
    for axis, (i, n) in enumerate(zip(index, leading, strict=True)):
        if axis not in fixed and not 0 <= i < n:
            raise UserError(
                f"Plane {i} does not exist along {_named(axis, axes)}: "
                f"choose one from 0 to {n - 1}."
            )
        if mapping.plane is None and axis not in fixed and n > 1:
            notes.append(f"Plane {i} of 0 to {n - 1} was taken along {_named(axis, axes)}.")
    return tuple(index)


def _named(axis: int, axes: str) -> str:
    """Return how a sentence names an axis: by number, and by letter where that is known."""
    return f"axis {axis} ({axes[axis]})" if axis < len(axes) else f"axis {axis}"


def _put_channel(
    index: list[int], leading: tuple[int, ...], channel: int, fixed: set[int], axes: str
) -> None:
    """Set the index along the channel axis: the one called C, or else the last one."""
    axis = axes.find("C") if "C" in axes[: len(leading)] else len(leading) - 1
    if axis < 0 or axis in fixed:
        raise UserError(
            "The image has no axis left for a channel: leave the channel unset"
            + (" or set the projection to 'none'." if fixed else ".")
        )
    if not 0 <= channel < leading[axis]:
        raise UserError(
            f"Channel {channel} does not exist: choose one from 0 to {leading[axis] - 1}."
        )
    index[axis] = channel
    fixed.add(axis)


def _project(array: Any, index: tuple[int, ...], how: Projection) -> Array:
    """Reduce the first axis plane by plane, so that a stack never has to fit in memory.

    Values that are not finite are left out; a pixel that is finite nowhere becomes NaN.
    """
    planes = (np.asarray(array[(i, *index[1:])]) for i in range(int(array.shape[0])))
    if how == "max":
        return _maximum(planes)
    return _mean(planes)


def _maximum(planes: Any) -> Array:
    best = _nan_if_not_finite(next(planes))
    for plane in planes:
        np.fmax(best, _nan_if_not_finite(plane), out=best)
    return best


def _mean(planes: Any) -> Array:
    total: Any = 0.0
    count: Any = 0
    for plane in planes:
        finite = np.isfinite(plane)
        total = total + np.where(finite, plane, 0).astype(np.float64)
        count = count + finite
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def _nan_if_not_finite(plane: Array) -> Array:
    if plane.dtype.kind != "f":
        return np.array(plane)
    return np.where(np.isfinite(plane), plane, np.nan).astype(plane.dtype)


def _pick_colours(plane: Array, channel: int | None, notes: list[str]) -> tuple[Array, bool]:
    if channel is not None:
        if not 0 <= channel < 3:
            raise UserError(
                f"Channel {channel} does not exist in a colour image: "
                "choose 0 (red), 1 (green) or 2 (blue)."
            )
        return plane[..., channel], False
    if plane.shape[-1] == 4:
        alpha = plane[..., 3]
        if alpha.min() != alpha.max():
            notes.append("The transparency of the image was ignored.")
        plane = plane[..., :3]
    return plane, True
