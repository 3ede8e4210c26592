"""Take one 2-D plane out of whatever a layer or a file holds; nothing else is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.axes import (
    channel_axis,
    named,
    named_channel_axis,
    projected_axis,
)

if TYPE_CHECKING:
    from napari_samstar.core.image.mapping import ImageMapping, Projection

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

SMALLEST_SIDE = 8
"""Pixels; below this there is nothing that SAM, fed 1024 x 1024, could find."""

MOST_PIXELS = 400_000_000
"""Most pixels of a plane that is taken at once; larger ones are read window by window."""

MOST_AXES = 7
"""Most axes of an image, not counting the colours."""


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
    sample : int, optional
        The colour that is used alone: 0 red, 1 green, 2 blue.
    projected : int, optional
        The axis that is reduced; its index is not used.
    projection : {"none", "max", "mean"}
        How it is reduced.
    """

    array: Any
    index: tuple[int, ...]
    colour: bool = False
    sample: int | None = None
    projected: int | None = None
    projection: Projection = "none"

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, cols = self.array.shape[-3:-1] if self.colour else self.array.shape[-2:]
        return int(rows), int(cols)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values."""
        averaged = self.projected is not None and self.projection == "mean"
        found: np.dtype[Any] = np.dtype(np.float64 if averaged else self.array.dtype)
        return found

    def values(self, rows: slice = slice(None), cols: slice = slice(None)) -> Array:
        """Read a window: (h, w), or (h, w, 3) in colour; bool, integer or float, as stored."""
        if self.projected is None:
            stored = np.asarray(self.array[(*self.index, rows, cols)])
        else:
            stored = self._reduced(rows, cols)
        if not self.colour:
            return stored
        return stored[..., :3] if self.sample is None else stored[..., self.sample]

    def _reduced(self, rows: slice, cols: slice) -> Array:
        """Reduce an axis plane by plane, so that a stack never has to fit in memory.

        Values that are not finite are left out; a pixel that is finite nowhere becomes NaN.
        """
        assert self.projected is not None
        before, after = self.index[: self.projected], self.index[self.projected + 1 :]
        planes = (
            np.asarray(self.array[(*before, k, *after, rows, cols)])
            for k in range(int(self.array.shape[self.projected]))
        )
        return _maximum(planes) if self.projection == "max" else _mean(planes)


@dataclass(frozen=True, eq=False)
class FoundPlane:
    """The plane that a mapping asks for; nothing is read yet.

    Attributes
    ----------
    parts : tuple of PlaneRef
        One, or one for each channel that is merged, all of one shape.
    notes : tuple of str
        One sentence for each decision that the user did not make.
    """

    parts: tuple[PlaneRef, ...]
    notes: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.parts[0].shape


def find_plane(array: Any, mapping: ImageMapping, rgb: bool | None, axes: str = "") -> FoundPlane:
    """Return where the plane lies that `mapping` asks for.

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
    """
    notes: list[str] = []
    array = _finest_level(array, notes)
    _check_dtype(array.dtype)
    colour = is_colour(array, rgb)
    leading = _leading_shape(array, colour)
    index = _plane_index(leading, mapping, axes, notes)
    _check_channels(leading, mapping, colour, axes)
    projected = None
    if mapping.projection != "none":
        projected = _projected_axis(leading, mapping, axes)
    samples = mapping.channel if colour and isinstance(mapping.channel, int) else None
    found = [
        PlaneRef(array, one, colour, samples, projected, mapping.projection)
        for one in _indices(index, leading, mapping, colour, axes)
    ]
    return FoundPlane(tuple(found), tuple(notes))


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
    leading: tuple[int, ...], mapping: ImageMapping, axes: str, notes: list[str]
) -> list[int]:
    """Return one index per leading axis; those of channels and projections may change yet."""
    if mapping.plane is not None and len(mapping.plane) != len(leading):
        raise UserError(
            f"The plane {mapping.plane} has {len(mapping.plane)} numbers, but the image has "
            f"{len(leading)} axes before rows and columns: give one number for each."
        )
    channels = named_channel_axis(axes, len(leading))
    index = (
        list(mapping.plane)
        if mapping.plane is not None
        else [0 if k == channels else n // 2 for k, n in enumerate(leading)]
    )
    fixed = _fixed(leading, mapping, axes)
    for axis, (i, n) in enumerate(zip(index, leading, strict=True)):
        if axis not in fixed and not 0 <= i < n:
            raise UserError(
                f"Plane {i} does not exist along {named(axis, axes)}: choose one from 0 to {n - 1}."
            )
        if mapping.plane is None and axis not in fixed and n > 1:
            what = "Channel" if axis == channels else "Plane"
            notes.append(f"{what} {i} of 0 to {n - 1} was taken along {named(axis, axes)}.")
    return index


def _fixed(leading: tuple[int, ...], mapping: ImageMapping, axes: str) -> set[int | None]:
    """Return the axes whose index in `plane` is not used."""
    projected = None
    if mapping.projection != "none":
        projected = projected_axis(axes, len(leading))
    channels = None
    if mapping.channel is not None:
        channels = channel_axis(axes, len(leading))
    return {projected, channels}


def _projected_axis(leading: tuple[int, ...], mapping: ImageMapping, axes: str) -> int:
    projected = projected_axis(axes, len(leading))
    if projected is None:
        raise UserError(
            "The image has no axis to project, only a single plane"
            + (" of each channel" if leading else "")
            + ": set the projection to 'none'."
        )
    return projected


def _check_channels(
    leading: tuple[int, ...], mapping: ImageMapping, colour: bool, axes: str
) -> None:
    """Refuse channels that the image does not have."""
    if mapping.channel is None:
        return
    if colour:
        if not isinstance(mapping.channel, int) or not 0 <= mapping.channel < 3:
            listed = ", ".join(map(str, mapping.channels))
            raise UserError(
                f"Channel {listed} does not exist in a colour image: "
                "choose 0 (red), 1 (green) or 2 (blue)."
            )
        return
    axis = channel_axis(axes, len(leading))
    projected = mapping.projection != "none" and axis == projected_axis(axes, len(leading))
    if axis is None or projected:
        known = f", its axes are {axes}" if axes and axis is None else ""
        raise UserError(
            f"The image has no axis left for a channel{known}: leave the channel unset"
            + (" or set the projection to 'none'." if projected else ".")
        )
    for channel in mapping.channels:
        if not 0 <= channel < leading[axis]:
            raise UserError(
                f"Channel {channel} does not exist: choose one from 0 to {leading[axis] - 1}."
            )


def _indices(
    index: list[int], leading: tuple[int, ...], mapping: ImageMapping, colour: bool, axes: str
) -> list[tuple[int, ...]]:
    """Return the index of each plane that is read: one, or one for each merged channel."""
    axis = channel_axis(axes, len(leading))
    if not mapping.channels or colour or axis is None:
        return [tuple(index)]
    return [(*index[:axis], channel, *index[axis + 1 :]) for channel in mapping.channels]


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
