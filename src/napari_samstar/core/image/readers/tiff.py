"""TIFF files: checked before they are read, lazy where they are large."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.calibration import tiff_calibration, tiff_steps
from napari_samstar.core.image.loaded import LoadedImage
from napari_samstar.core.image.planes import MOST_PIXELS
from napari_samstar.core.image.readers.lazy import LazyArray, damaged

if TYPE_CHECKING:
    from napari_samstar.core.image.planes import Array

LAZY_BYTES = 512 * 2**20
"""An image or stack larger than this is opened lazily and read window by window."""

COARSE_PIXELS = 2**24
"""Strips and tiles with more pixels are kept after decoding, since several windows share one."""

_MIN_IS_WHITE = 0
_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True)
class TiffSource:
    """The first image of a TIFF file, as `LazyArray` opens it."""

    path: Path

    def open(self) -> tuple[Any, Callable[[], None]]:
        """Return a memory map of an uncompressed image in one block, else a zarr array."""
        tif = tifffile.TiffFile(self.path)
        try:
            series = tif.series[0]
            if series.dataoffset is not None:
                tif.close()
                return tifffile.memmap(self.path, mode="r", series=0), _nothing
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


class TiffReader:
    """Reads TIFF (also OME, ImageJ and BigTIFF); images above `LAZY_BYTES` are opened lazily."""

    name = "tiff"
    kinds = "TIFF"
    suffixes: tuple[str, ...] = (".tif", ".tiff", ".btf", ".tf8")

    def supports(self, path: Path, head: bytes) -> bool:
        """Return whether the content is TIFF, whatever the file's ending."""
        return head.startswith(_HEADS)

    def read(self, path: Path) -> LoadedImage:
        """See `Reader.read`; the first image of the file is read."""
        try:
            with tifffile.TiffFile(path) as tif:
                return _first_image(path, tif)
        except (UserError, MemoryError):
            raise
        except Exception as error:  # tifffile raises whatever its codecs raise
            raise _explained(path, error) from error


def _first_image(path: Path, tif: tifffile.TiffFile) -> LoadedImage:
    """Return the image; its array is NumPy, or a `LazyArray` where it is large."""
    if not len(tif.pages) or not tif.series:
        raise UserError(f"{path.name} is a TIFF file without an image: choose another.")
    series: Any = tif.series[0]
    _check_size(path, series)
    notes = _notes(tif, series)
    inverted = series.keyframe.photometric == _MIN_IS_WHITE and series.dtype.kind in "bu"
    if inverted:
        notes.append("The file stores white as zero, so it was inverted.")
    order, axes = _order(series.axes, series.shape)
    array: Any
    if _is_lazy(series):
        shape = tuple(series.shape[k] for k in order)
        array = LazyArray(TiffSource(path.absolute()), shape, series.dtype, order, inverted)
    else:
        array = np.transpose(series.asarray(), order)
        array = ~array if inverted else array
    pixel_size, unit = tiff_calibration(tif)
    z_step, frame_time = tiff_steps(tif, unit)
    return LoadedImage(
        array,
        axes.endswith("S"),
        axes,
        pixel_size,
        unit,
        name=path.stem.removesuffix(".ome"),
        notes=tuple(notes),
        path=path,
        z_step=z_step,
        frame_time=frame_time,
    )


def _explained(path: Path, error: Exception) -> UserError:
    if "imagecodecs" in str(error):
        return UserError(
            f"{path.name} is compressed in a way that needs the package imagecodecs: "
            "run 'pip install imagecodecs' or save the image without compression."
        )
    return damaged(path, error)


def _notes(tif: tifffile.TiffFile, series: Any) -> list[str]:
    notes = []
    if len(tif.series) > 1:
        notes.append(f"The first of {len(tif.series)} images in the file was read.")
    if series.kind == "ome":  # the only kind whose planes may be in other files
        n_missing = sum(page is None for page in series)
        if n_missing:
            notes.append(f"{n_missing} of {len(series)} planes are missing and were read as zeros.")
    return notes


def _check_size(path: Path, series: Any) -> None:
    """Refuse what the file cannot hold, and what cannot be read in parts, before any allocation."""
    page, on_disk = series.keyframe, path.stat().st_size
    alone = page.compression == 1 and not series.is_multifile
    declared = series.size * page.bitspersample // 8 if alone else 0
    ends = [o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=False)]
    if max([declared, *ends]) > on_disk or not ends:
        raise UserError(
            f"{path.name} is incomplete: it announces {_size(max([declared, *ends]))} and has "
            f"{_size(on_disk)}; copy or export it again."
        )
    rows, cols = _plane_shape(series)
    if math.prod(page.chunks) > MOST_PIXELS and series.dataoffset is None:
        raise UserError(
            f"{path.name} has planes of {rows} x {cols} pixels, compressed as one piece of more "
            f"than {MOST_PIXELS:,}: save it with tiles, or crop it."
        )


def _plane_shape(series: Any) -> tuple[int, int]:
    axes = dict(zip(series.axes, series.shape, strict=True))
    return axes.get("Y", 1), axes.get("X", 1)


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:.1f} MiB" if n_bytes >= 2**20 else f"{n_bytes} bytes"


def _is_lazy(series: Any) -> bool:
    rows, cols = _plane_shape(series)
    return bool(series.nbytes > LAZY_BYTES or rows * cols > MOST_PIXELS)


def _order(axes: str, shape: tuple[int, ...]) -> tuple[tuple[int, ...], str]:
    """Return the order that moves rows and columns last, samples after them where colours."""
    colour = "S" in axes and shape[axes.index("S")] in (3, 4)
    last = [a for a in ("YXS" if colour else "YX") if a in axes]
    order = [a for a in axes if a not in last] + last
    return tuple(axes.index(a) for a in order), "".join(order)
