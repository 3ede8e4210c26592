"""From a layer's array to the RGB image that SAM sees."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.mapping import ImageMapping
from napari_samstar.core.image.micrograph import Micrograph, Rgb8
from napari_samstar.core.image.planes import Array, take_plane

_ROWS_AT_ONCE = 256  # keeps the float64 working copy of a large plane small


def prepare(
    array: Any,
    mapping: ImageMapping | None = None,
    *,
    rgb: bool | None = None,
    axes: str = "",
    pixel_size: tuple[float, float] | None = None,
    unit: str = "px",
    name: str = "image",
) -> Micrograph:
    """Turn a layer's data into the image that SAM sees.

    Only the planes that `mapping` asks for are read, which matters for dask, zarr and files.

    Parameters
    ----------
    array : array or sequence of arrays
        NumPy, dask, zarr or the like, 2 to 5 axes ending in (row, col), or (row, col, 3 or 4) for
        colour; bool, any integer or float. A sequence of arrays is a multiscale image, finest
        first.
    mapping : ImageMapping, optional
        Default ``Mapping()``: middle plane, percentiles 0.1 to 99.9.
    rgb : bool, optional
        Whether the last axis is colour. None: it is where the array is uint8 with a last axis of
        3 or 4 after at least two others.
    axes : str
        One letter per axis, see `LoadedImage.axes`; empty where they are not known.
    pixel_size, unit, name
        Passed on to the `Micrograph`.

    Returns
    -------
    Micrograph
        NaN is shown black (also when inverted), plus infinity as the brightest and minus infinity
        as the darkest value; both are counted in its notes.

    Raises
    ------
    UserError
        For data that is empty, constant, without finite values, complex, not numeric, with fewer
        than two or more than five axes or under 8 x 8 pixels, or a plane that does not exist.
    """
    mapping = mapping or ImageMapping()
    plane, colour, notes = take_plane(array, mapping, rgb, axes)
    notes += _not_finite_notes(plane)
    black, white = _bounds(plane, mapping, notes)
    values = _to_bytes(plane, black, white, mapping.invert)
    if not colour:
        values = np.repeat(values[..., np.newaxis], 3, axis=2)
    if (values == values[0, 0]).all():
        raise UserError(
            f"Every pixel came out the same between {black:g} and {white:g}: "
            "use the 'percentile' stretch, or choose another plane or channel."
        )
    values.flags.writeable = False
    return Micrograph(values, pixel_size, unit, name, tuple(notes), mapping)


def _not_finite_notes(plane: Array) -> list[str]:
    if plane.dtype.kind != "f" or np.isfinite(plane).all():
        return []
    if not np.isfinite(plane).any():
        raise UserError(
            "The plane holds no finite value (only NaN or infinity): "
            "choose another plane or channel."
        )
    nan, inf = int(np.isnan(plane).sum()), int(np.isinf(plane).sum())
    notes = []
    if nan:
        notes.append(f"{_values(nan)} not a number (NaN) and shown black.")
    if inf:
        notes.append(f"{_values(inf)} infinite and shown as the brightest or darkest.")
    return notes


def _values(count: int) -> str:
    return "1 value was" if count == 1 else f"{count} values were"


def _bounds(plane: Array, mapping: ImageMapping, notes: list[str]) -> tuple[float, float]:
    """Return the intensities that become 0 and 255, black < white."""
    finite = plane[np.isfinite(plane)] if plane.dtype.kind == "f" else plane
    smallest, largest = float(finite.min()), float(finite.max())
    if smallest == largest:
        raise UserError(
            f"The plane is constant (every value is {smallest:g}): choose another plane or channel."
        )
    if mapping.stretch == "limits" and mapping.limits is not None:
        black, white = mapping.limits
    elif mapping.stretch == "none":
        black, white = _full_range(plane.dtype)
    elif plane.dtype.kind == "b":
        black, white = 0.0, 1.0
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            found = np.percentile(finite, [mapping.low, mapping.high])
        black, white = float(found[0]), float(found[1])
        if black == white:
            black, white = smallest, largest
            notes.append("Both percentiles are equal, so minimum and maximum were used.")
    if not math.isfinite(white - black):
        raise UserError("The values span more than floating point can hold: rescale the image.")
    return black, white


def _full_range(dtype: np.dtype[Any]) -> tuple[float, float]:
    if dtype.kind in "bf":
        return 0.0, 1.0
    return float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)


def _to_bytes(plane: Array, black: float, white: float, invert: bool) -> Rgb8:
    """Map linearly to 0..255, rounded to nearest, NaN to 0."""
    out = np.empty(plane.shape, dtype=np.uint8)
    for start in range(0, plane.shape[0], _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        values = np.clip(plane[rows].astype(np.float64), black, white)
        values = (values - black) / (white - black) * 255.0
        if invert:
            values = 255.0 - values
        out[rows] = np.rint(np.nan_to_num(values, copy=False, nan=0.0))
    return out
