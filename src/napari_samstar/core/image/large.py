"""Planes too large to hold as 8-bit colours: read window by window.

The intensities that become black and white are still those of the whole plane. They are found in
one pass over it: exactly for integers of at most 16 bits, else from every k-th pixel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_samstar.core import interrupt
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.levels import (
    ROWS_AT_ONCE,
    Bytes,
    Intensities,
    Levels,
    levels_of,
    not_finite_notes,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_samstar.core.image.mapping import ImageMapping
    from napari_samstar.core.image.planes import Array, PlaneRef

LARGE_PIXELS = 2**23
"""A plane of more pixels is read window by window: 8 million, such as 2900 x 2900."""

SAMPLE = 2**22
"""Values from which percentiles are found where they are not found exactly."""


class LazyRgb:
    """A plane as SAM sees it, read where it is indexed.

    Behaves like an array of shape (H, W, 3) for two slices: ``rgb[10:20, 5:50]``. The last rows
    read are kept, since tiles of one row share them.
    """

    def __init__(self, plane: PlaneRef, channel: int | None, levels: Levels) -> None:
        self._plane = plane
        self._channel = channel
        self.levels = levels
        self._rows = (0, 0)
        self._band: Bytes = np.zeros((0, plane.shape[1], 3), dtype=np.uint8)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, 3)."""
        return (*self._plane.shape, 3)

    def __getitem__(self, index: tuple[slice, slice]) -> Bytes:
        rows, cols = index
        start, stop, _ = rows.indices(self.shape[0])
        rows_known, band = self._rows, self._band  # another thread may replace both meanwhile
        if not rows_known[0] <= start <= stop <= rows_known[1]:
            band = self._read(slice(start, stop))
            rows_known = start, stop
            if stop - start <= 8 * ROWS_AT_ONCE:
                self._rows, self._band = rows_known, band
        return band[start - rows_known[0] : stop - rows_known[0], cols]

    def _read(self, rows: slice) -> Bytes:
        values = self.levels.to_bytes(_values(self._plane, self._channel, rows))
        if values.ndim == 2:  # grey: three equal channels without a copy
            return np.broadcast_to(values[..., np.newaxis], (*values.shape, 3))
        return values


def open_large(plane: PlaneRef, mapping: ImageMapping) -> tuple[LazyRgb, list[str]]:
    """Return a large plane as SAM sees it, and what was decided.

    Raises
    ------
    UserError
        For a plane that is constant or without a finite value.
    """
    notes = list(plane.notes)
    found = _measured(plane, mapping, notes)
    return LazyRgb(plane, mapping.channel, levels_of(found, mapping, notes)), notes


def is_large(plane: PlaneRef) -> bool:
    """Return whether a plane is read window by window."""
    rows, cols = plane.shape
    return rows * cols > LARGE_PIXELS


def _values(plane: PlaneRef, channel: int | None, rows: slice) -> Array:
    """Read some rows, and of a colour image the channels that are used."""
    stored = plane.stored(rows)
    if not plane.colour:
        return stored
    return stored[..., :3] if channel is None else stored[..., channel]


def _bands(plane: PlaneRef, channel: int | None) -> Iterator[Array]:
    for start in range(0, plane.shape[0], ROWS_AT_ONCE):
        interrupt.check()
        yield _values(plane, channel, slice(start, start + ROWS_AT_ONCE))


def _measured(plane: PlaneRef, mapping: ImageMapping, notes: list[str]) -> Intensities:
    if plane.dtype.kind in "ui" and plane.dtype.itemsize <= 2:
        return _exactly(plane, mapping)
    return _sampled(plane, mapping, notes)


def _exactly(plane: PlaneRef, mapping: ImageMapping) -> Intensities:
    """Find percentiles from a count of every value."""
    lowest = int(np.iinfo(plane.dtype).min)
    counts = np.zeros(int(np.iinfo(plane.dtype).max) - lowest + 1, dtype=np.int64)
    for band in _bands(plane, mapping.channel):
        shifted = band.ravel().astype(np.int32) - lowest
        counts += np.bincount(shifted, minlength=len(counts))
    present = np.flatnonzero(counts)
    low, high = (_percentile(counts, p) + lowest for p in (mapping.low, mapping.high))
    smallest, largest = (float(present[k] + lowest) for k in (0, -1))
    return Intensities(plane.dtype, smallest, largest, low, high)


def _percentile(counts: NDArray[np.int64], percent: float) -> float:
    """Return what `numpy.percentile` does of values 0, 1, ... that occur `counts` times."""
    cumulative = np.cumsum(counts)
    place = percent / 100 * (int(cumulative[-1]) - 1)
    below, above = np.searchsorted(
        cumulative, (int(np.floor(place)), int(np.ceil(place))), side="right"
    )
    return float(below + (above - below) * (place - np.floor(place)))


def _sampled(plane: PlaneRef, mapping: ImageMapping, notes: list[str]) -> Intensities:
    """Find percentiles from every k-th pixel, all else from all pixels."""
    rows, cols = plane.shape
    step = max(1, int(np.ceil(np.sqrt(rows * cols / SAMPLE))))
    smallest, largest, n_nan, n_infinite = np.inf, -np.inf, 0, 0
    sample, row = [], 0
    for band in _bands(plane, mapping.channel):
        finite = np.isfinite(band)
        if not finite.all():
            n_nan += int(np.isnan(band).sum())
            n_infinite += int(np.isinf(band).sum())
        if finite.any():
            smallest = min(smallest, float(band[finite].min()))
            largest = max(largest, float(band[finite].max()))
        some = band[-row % step :: step, ::step]
        sample.append(some[np.isfinite(some)])
        row += len(band)
    if smallest > largest:
        raise UserError(
            "The plane holds no finite value (only NaN or infinity): "
            "choose another plane or channel."
        )
    notes += not_finite_notes(n_nan, n_infinite)
    with np.errstate(over="ignore", invalid="ignore"):
        low, high = np.percentile(np.concatenate(sample), [mapping.low, mapping.high])
    return Intensities(plane.dtype, smallest, largest, float(low), float(high))
