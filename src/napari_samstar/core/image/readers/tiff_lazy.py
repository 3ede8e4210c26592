"""Images of TIFF files that are read window by window."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_samstar.core.image.readers.tiff_warnings import quiet

if TYPE_CHECKING:
    from napari_samstar.core.image.planes import Array

COARSE_PIXELS = 2**24
"""Strips and tiles with more pixels are kept after decoding, since several windows share one."""


@dataclass(frozen=True)
class TiffSource:
    """One image of a TIFF file, as `LazyArray` opens it.

    Attributes
    ----------
    path : Path
    index : int
        Of the image among those of the file.
    alone : bool
        Whether the file is read without the others of its set.
    """

    path: Path
    index: int = 0
    alone: bool = False

    def open(self) -> tuple[Any, Callable[[], None]]:
        """Return a memory map of an uncompressed image in one block, else a zarr array."""
        tif = open_tiff(self.path, alone=self.alone)
        try:
            with quiet():
                series = tif.series[self.index]
            if series.dataoffset is not None:
                page, shape, offset = series.keyframe, series.shape, series.dataoffset
                assert page.dtype is not None
                dtype = page.dtype.newbyteorder(tif.byteorder)
                tif.close()
                return np.memmap(self.path, dtype, "r", offset, shape), _nothing
            import zarr  # 0.3 s, needed by few images

            stored = zarr.open_array(series.aszarr(level=0), mode="r")
        except BaseException:
            tif.close()
            raise
        coarse = math.prod(stored.chunks) > COARSE_PIXELS
        return (_LastChunk(stored) if coarse else stored), tif.close


def _nothing() -> None:
    """Close a memory map: Python does so when the last view is gone."""


class _LastChunk:
    """A zarr array with planes of one huge strip or tile; the last plane decoded is kept."""

    def __init__(self, stored: Any) -> None:
        self._stored = stored
        # The axes before the first along which a chunk is longer than 1 say which plane.
        self._leading = next(k for k, n in enumerate(stored.chunks) if n > 1)
        self._last: tuple[Any, Array] | None = None

    def __getitem__(self, index: tuple[int | slice, ...]) -> Array:
        plane, inside = index[: self._leading], index[self._leading :]
        if any(isinstance(one, slice) for one in plane):
            return np.asarray(self._stored[index])
        last = self._last  # another thread may replace it meanwhile
        if last is None or last[0] != plane:
            last = self._last = plane, np.asarray(self._stored[plane])
        return np.asarray(last[1][inside])


def open_tiff(path: Path, *, alone: bool) -> tifffile.TiffFile:
    """Open a file; `alone` does not look for the other files of its set."""
    return tifffile.TiffFile(path, is_ome=False) if alone else tifffile.TiffFile(path)
