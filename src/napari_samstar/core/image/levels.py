"""Which intensities become black and white, and how channels become the colours SAM sees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.fill import find_fill

if TYPE_CHECKING:
    from napari_samstar.core.image.mapping import ImageMapping

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Bool: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]
Bytes: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]

ROWS_AT_ONCE = 256
"""Rows of a plane that are worked on at once; keeps working copies of large planes small."""


@dataclass(frozen=True)
class Levels:
    """A linear map from intensities to 0..255.

    Attributes
    ----------
    black, white : float
        What becomes 0 and 255, black < white.
    invert : bool
        Replace v by 255 - v at the end.
    fill : tuple of float
        Values where there is no image; they are shown black, as NaN is.
    """

    black: float
    white: float
    invert: bool = False
    fill: tuple[float, ...] = ()

    def to_bytes(self, plane: Array) -> Bytes:
        """Map values of any numeric dtype to uint8 of the same shape, rounded, NaN to 0."""
        out = np.empty(plane.shape, dtype=np.uint8)
        for start in range(0, plane.shape[0], ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            values = np.clip(plane[rows].astype(np.float64), self.black, self.white)
            values = (values - self.black) / (self.white - self.black) * 255.0
            if self.invert:
                values = 255.0 - values
            out[rows] = np.rint(np.nan_to_num(values, copy=False, nan=0.0))
            for value in self.fill:
                out[rows][plane[rows] == value] = 0
        return out


@dataclass(frozen=True, eq=False)
class Intensities:
    """What the levels of a plane depend on.

    Attributes
    ----------
    dtype : numpy.dtype
    smallest, largest : float
        Of the finite values.
    low, high : float
        The percentiles of the finite values that the mapping names.
    fill : tuple of float
        Values of a filled border, which count for nothing.
    """

    dtype: np.dtype[Any]
    smallest: float
    largest: float
    low: float
    high: float
    fill: tuple[float, ...] = ()


def intensities_of(
    plane: Array, mapping: ImageMapping, notes: list[str], inside: Bool | None = None
) -> Intensities:
    """Measure a plane; pixels that are not finite, and a fill value at its border, do not count.

    Parameters
    ----------
    plane : ndarray, shape (H, W) or (H, W, 3)
    inside : ndarray of bool, shape (H, W), optional
        The pixels that count.

    Raises
    ------
    UserError
        For a plane without a finite value.
    """
    counted = plane if inside is None else plane[inside]
    if plane.dtype.kind == "f" and not np.isfinite(plane).all():
        counted = counted[np.isfinite(counted)]
        if not counted.size:
            raise no_finite_value()
        notes += not_finite_notes(int(np.isnan(plane).sum()), int(np.isinf(plane).sum()))
    fill = find_fill(plane) if mapping.stretch == "percentile" else None
    if fill is not None:
        counted = plane[~fill.mask if inside is None else ~fill.mask & inside]
        counted = counted[np.isfinite(counted)]
        if not counted.size:
            raise no_finite_value()
        notes.append(fill.note)
    low, high = 0.0, 1.0
    if plane.dtype.kind != "b":
        with np.errstate(over="ignore", invalid="ignore"):
            low, high = np.percentile(counted, [mapping.low, mapping.high]).tolist()
    smallest, largest = float(counted.min()), float(counted.max())
    return Intensities(
        plane.dtype, smallest, largest, low, high, () if fill is None else fill.values
    )


def no_finite_value() -> UserError:
    """Return the error for a plane of nothing but NaN and infinity."""
    return UserError(
        "The plane holds no finite value (only NaN or infinity): choose another plane or channel."
    )


def levels_of(found: Intensities, mapping: ImageMapping, notes: list[str]) -> Levels:
    """Return the levels of a plane.

    Raises
    ------
    UserError
        For a constant plane, and one whose values span more than floating point can hold.
    """
    if found.smallest == found.largest:
        raise UserError(
            f"The plane is constant (every value is {found.smallest:g}): choose another plane or "
            "channel."
        )
    if mapping.stretch == "limits" and mapping.limits is not None:
        black, white = mapping.limits
    elif mapping.stretch == "none":
        black, white = _full_range(found.dtype)
    elif found.dtype.kind == "b":
        black, white = 0.0, 1.0
    else:
        black, white = found.low, found.high
        if black == white:
            black, white = found.smallest, found.largest
            notes.append("Both percentiles are equal, so minimum and maximum were used.")
    if not math.isfinite(white - black):
        raise UserError("The values span more than floating point can hold: rescale the image.")
    return Levels(black, white, mapping.invert, found.fill)


def _full_range(dtype: np.dtype[Any]) -> tuple[float, float]:
    if dtype.kind in "bf":
        return 0.0, 1.0
    return float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)


def not_finite_notes(n_nan: int, n_infinite: int) -> list[str]:
    """Return one sentence for each kind of value that is not finite."""
    notes = []
    if n_nan:
        notes.append(f"{_values(n_nan)} not a number (NaN) and shown black.")
    if n_infinite:
        notes.append(f"{_values(n_infinite)} infinite and shown as the brightest or darkest.")
    return notes


def _values(count: int) -> str:
    return "1 value was" if count == 1 else f"{count} values were"


@dataclass(frozen=True)
class Blend:
    """How the parts of a plane become colours.

    Attributes
    ----------
    used : tuple of int
        Which parts of the plane: the only one, or the channels that are not constant.
    levels : tuple of Levels
        Of each of them.
    colours : tuple of (red, green, blue)
        Of merged channels, 0 to 1; empty for a single part.
    invert : bool
        Whether the merged picture is replaced by its negative.
    """

    used: tuple[int, ...]
    levels: tuple[Levels, ...]
    colours: tuple[tuple[float, float, float], ...] = ()
    invert: bool = False

    def to_rgb(self, planes: Sequence[Array]) -> Bytes:
        """Return uint8 (h, w, 3), perhaps a read-only view.

        Parameters
        ----------
        planes : sequence of ndarray
            Values of the parts `used`: (h, w), or one of (h, w, 3).
        """
        if not self.colours:
            values = self.levels[0].to_bytes(planes[0])
            # Grey: three equal channels without a copy.
            return (
                values
                if values.ndim == 3
                else np.broadcast_to(values[..., np.newaxis], (*values.shape, 3))
            )
        total = np.zeros((*planes[0].shape, 3), dtype=np.float32)
        for plane, levels, colour in zip(planes, self.levels, self.colours, strict=True):
            total += levels.to_bytes(plane)[..., np.newaxis] * np.array(colour, dtype=np.float32)
        merged = np.rint(np.minimum(total, 255)).astype(np.uint8)
        return 255 - merged if self.invert else merged


def blend_of(found: Sequence[Intensities], mapping: ImageMapping, notes: list[str]) -> Blend:
    """Return how the parts of a plane become colours.

    Parameters
    ----------
    found : sequence of Intensities
        Of the only part, or of each merged channel.
    notes : list of str
        What is decided is added.

    Raises
    ------
    UserError
        For a constant plane, or where every merged channel is constant.
    """
    if len(found) == 1:
        return Blend((0,), (levels_of(found[0], mapping, notes),))
    alone = mapping.replace(invert=False)  # the sum is inverted, not its parts
    used = [k for k, one in enumerate(found) if one.smallest < one.largest]
    notes += [
        f"Channel {mapping.channels[k]} is constant (every value is {one.smallest:g}), so it adds "
        "nothing."
        for k, one in enumerate(found)
        if k not in used
    ]
    if not used:
        raise UserError("All merged channels are constant: choose another plane or channels.")
    return Blend(
        tuple(used),
        tuple(levels_of(found[k], alone, notes) for k in used),
        tuple(mapping.rgb_weights[k] for k in used),
        mapping.invert,
    )
