"""From a layer's array to the RGB image that SAM sees."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from napari_samstar.core.errors import UserError
from napari_samstar.core.planes import Array, Projection, take_plane

Stretch = Literal["percentile", "limits", "none"]
Rgb8: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]

_ROWS_AT_ONCE = 256  # keeps the float64 working copy of a large plane small


@dataclass(frozen=True)
class Mapping:
    """How one plane is taken out of an array and how its intensities become 8-bit.

    Attributes
    ----------
    plane : tuple of int, optional
        One index per axis before (row, col), colours not counted. None takes the middle of each.
    projection : {"none", "max", "mean"}
        Reduces the *first* of those axes instead of indexing it (its number in `plane` is then
        ignored). NaN and infinity do not take part.
    channel : int, optional
        In a colour image 0, 1 or 2 shows red, green or blue alone as grey; None keeps the colours.
        In any other image an index along the *last* axis before (row, col), the channel axis of
        TZCYX; it overrides that entry of `plane`.
    stretch : {"percentile", "limits", "none"}
        What becomes 0 and what becomes 255, linear in between and clipped outside:

        - ``"percentile"``: the `low` and `high` percentiles of the plane's finite values, so an
          8-bit image that already fills 0..255 changes by the clipped 0.2 % only. Where the two
          coincide (an almost empty image) minimum and maximum are used.
        - ``"limits"``: the two `limits`, such as the layer's contrast limits.
        - ``"none"``: uint8 as it is; bool as 0 and 255; other integers from the full range of
          their type; floats from 0..1.

        A colour image is stretched jointly: its three channels share one pair of bounds.
    low, high : float
        Percentiles, 0 <= low < high <= 100.
    limits : tuple of float, optional
        (black, white) in the array's own intensities, for ``"limits"``.
    invert : bool
        Replace v by 255 - v at the end (bright objects from dark ones).
    """

    plane: tuple[int, ...] | None = None
    projection: Projection = "none"
    channel: int | None = None
    stretch: Stretch = "percentile"
    low: float = 0.1
    high: float = 99.9
    limits: tuple[float, float] | None = None
    invert: bool = False

    def __post_init__(self) -> None:
        for name, choices in (("projection", Projection), ("stretch", Stretch)):
            if getattr(self, name) not in get_args(choices):
                listed = ", ".join(get_args(choices))
                raise UserError(f"{name} must be one of {listed}, not {getattr(self, name)!r}.")
        if not 0 <= self.low < self.high <= 100:
            raise UserError(
                f"The percentiles must satisfy 0 <= low < high <= 100, not {self.low:g} and "
                f"{self.high:g}."
            )
        if self.stretch == "limits" and self.limits is None:
            raise UserError("The stretch 'limits' needs two limits: give them or use 'percentile'.")
        if self.limits is not None:
            black, white = self.limits
            if not (math.isfinite(white - black) and black < white):
                raise UserError(
                    f"The limits must be two finite numbers, the smaller first, not {black:g} and "
                    f"{white:g}."
                )

    def replace(self, **changes: Any) -> Mapping:
        """Return a copy with `changes` applied, checked."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON-ready values, every field by name."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        for name in ("plane", "limits"):
            values[name] = None if values[name] is None else list(values[name])
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Mapping:
        """Build from `to_dict` output; an unknown name or a wrong type is an error."""
        known = sorted(f.name for f in fields(cls))
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise UserError(
                f"Unknown image setting {unknown[0]!r}; the settings are {', '.join(known)}."
            )
        values = dict(values)
        try:
            if values.get("plane") is not None:
                values["plane"] = tuple(int(i) for i in values["plane"])
            if values.get("limits") is not None:
                black, white = values["limits"]
                values["limits"] = (float(black), float(white))
            if values.get("channel") is not None:
                values["channel"] = int(values["channel"])
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise UserError(f"An image setting has the wrong type ({error}): correct it.") from None


@dataclass(frozen=True, eq=False)
class Micrograph:
    """One plane as SAM sees it.

    Attributes
    ----------
    rgb : ndarray
        uint8 (H, W, 3), read-only. Grey images carry three equal channels.
    pixel_size : tuple of float, optional
        (row, col) size of a pixel in `unit`.
    unit : str
        "nm", "µm", ... or "px".
    name : str
        For titles and file names.
    notes : tuple of str
        What was decided or handled without asking, one sentence each.
    """

    rgb: Rgb8
    pixel_size: tuple[float, float] | None = None
    unit: str = "px"
    name: str = "image"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rgb = np.asarray(self.rgb)
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
            raise UserError(
                f"SAM needs a uint8 image of shape (rows, columns, 3), not {rgb.dtype} "
                f"{rgb.shape}: use prepare()."
            )
        if rgb.flags.writeable or not rgb.flags.c_contiguous:
            rgb = rgb.copy(order="C")  # the caller may still write to theirs
            rgb.flags.writeable = False
        object.__setattr__(self, "rgb", rgb)
        if self.pixel_size is not None:
            object.__setattr__(self, "pixel_size", _checked_size(self.pixel_size))

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.rgb.shape[0], self.rgb.shape[1]

    @cached_property
    def key(self) -> str:
        """SHA-256 (hex) of the shape and the pixels; equal images have equal keys."""
        digest = hashlib.sha256(repr(self.rgb.shape).encode())
        digest.update(self.rgb.data)
        return digest.hexdigest()


def prepare(
    array: Any,
    mapping: Mapping | None = None,
    *,
    rgb: bool | None = None,
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
    mapping : Mapping, optional
        Default ``Mapping()``: middle plane, percentiles 0.1 to 99.9.
    rgb : bool, optional
        Whether the last axis is colour. None: it is where the array is uint8 with a last axis of
        3 or 4 after at least two others.
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
    mapping = mapping or Mapping()
    plane, colour, notes = take_plane(array, mapping, rgb)
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
    return Micrograph(values, pixel_size, unit, name, tuple(notes))


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


def _bounds(plane: Array, mapping: Mapping, notes: list[str]) -> tuple[float, float]:
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


def _checked_size(size: Any) -> tuple[float, float]:
    row, col = (float(v) for v in size)
    if not (math.isfinite(row) and math.isfinite(col) and row > 0 and col > 0):
        raise UserError(
            f"The pixel size must be two positive numbers (row, column), not {row:g} and {col:g}: "
            "correct the layer's scale."
        )
    return row, col
