"""Planes too large to hold as 8-bit colours: read window by window.

The intensities that become black and white are still those of the whole plane. They are found in
one pass over it: exactly for integers of at most 16 bits, else from every k-th pixel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_samstar.core import interrupt
from napari_samstar.core.image.fill import find_fill
from napari_samstar.core.image.levels import (
    ROWS_AT_ONCE,
    Blend,
    Bytes,
    Intensities,
    blend_of,
    no_finite_value,
    not_finite_notes,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_samstar.core.image.mapping import ImageMapping
    from napari_samstar.core.image.planes import Array, FoundPlane, PlaneRef

LARGE_PIXELS = 2**23
"""A plane of more pixels is read window by window: 8 million, such as 2900 x 2900."""

SAMPLE = 2**22
"""Values from which percentiles are found where they are not found exactly."""


class LazyRgb:
    """A plane as SAM sees it, read where it is indexed.

    Behaves like an array of shape (H, W, 3) for two slices: ``rgb[10:20, 5:50]``. The last rows
    read are kept, since tiles of one row share them.
    """

    def __init__(self, plane: FoundPlane, blend: Blend) -> None:
        self._plane = plane
        self._blend = blend
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
        return self._blend.to_rgb([self._plane.parts[k].values(rows) for k in self._blend.used])


def open_large(plane: FoundPlane, mapping: ImageMapping, notes: list[str]) -> LazyRgb:
    """Return a large plane as SAM sees it; what is decided is added to `notes`.

    Raises
    ------
    UserError
        For a plane that is constant or without a finite value.
    """
    found = [_measured(part, mapping, notes) for part in plane.parts]
    return LazyRgb(plane, blend_of(found, mapping, notes))


def is_large(plane: FoundPlane) -> bool:
    """Return whether a plane is read window by window."""
    rows, cols = plane.shape
    return rows * cols > LARGE_PIXELS


def _bands(plane: PlaneRef) -> Iterator[Array]:
    for start in range(0, plane.shape[0], ROWS_AT_ONCE):
        interrupt.check()
        yield plane.values(slice(start, start + ROWS_AT_ONCE))


def _measured(plane: PlaneRef, mapping: ImageMapping, notes: list[str]) -> Intensities:
    """Measure all pixels in one pass; a fill value at the border does not count."""
    rows, cols = plane.shape
    step = max(1, int(np.ceil(np.sqrt(rows * cols / SAMPLE))))
    counter = _Counter(plane.dtype)
    smallest, largest, n_nan, n_infinite = np.inf, -np.inf, 0, 0
    thumbnail, row = [], 0
    for band in _bands(plane):
        counter.add(band)
        finite = np.isfinite(band)
        if not finite.all():
            n_nan += int(np.isnan(band).sum())
            n_infinite += int(np.isinf(band).sum())
            band_values = band[finite]
        else:
            band_values = band
        if band_values.size:
            smallest = min(smallest, float(band_values.min()))
            largest = max(largest, float(band_values.max()))
        thumbnail.append(band[-row % step :: step, ::step])
        row += len(band)
    if smallest > largest:
        raise no_finite_value()
    notes += not_finite_notes(n_nan, n_infinite)
    sample = np.concatenate(thumbnail)
    fill = find_fill(sample) if mapping.stretch == "percentile" else None
    if fill is not None:
        notes.append(fill.note)
        sample = sample[~fill.mask]
    elif counter.counts is not None:
        low, high = (counter.percentile(p) for p in (mapping.low, mapping.high))
        return Intensities(plane.dtype, smallest, largest, low, high)
    sample = sample[np.isfinite(sample)]
    with np.errstate(over="ignore", invalid="ignore"):
        low, high = np.percentile(sample, [mapping.low, mapping.high]).tolist()
    values = () if fill is None else fill.values
    return Intensities(plane.dtype, smallest, largest, low, high, values)


class _Counter:
    """Counts how often each integer of at most 16 bits occurs; other types are not counted."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        small = dtype.kind in "ui" and dtype.itemsize <= 2
        self._lowest = int(np.iinfo(dtype).min) if small else 0
        n = int(np.iinfo(dtype).max) - self._lowest + 1 if small else 0
        self.counts: NDArray[np.int64] | None = np.zeros(n, dtype=np.int64) if small else None

    def add(self, values: Array) -> None:
        """Count values."""
        if self.counts is not None:
            shifted = values.ravel().astype(np.int32) - self._lowest
            self.counts += np.bincount(shifted, minlength=len(self.counts))

    def percentile(self, percent: float) -> float:
        """Return what `numpy.percentile` does of all values."""
        assert self.counts is not None
        cumulative = np.cumsum(self.counts)
        place = percent / 100 * (int(cumulative[-1]) - 1)
        below, above = np.searchsorted(
            cumulative, (int(np.floor(place)), int(np.ceil(place))), side="right"
        )
        between = (above - below) * (place - np.floor(place))
        return float(below + between + self._lowest)
