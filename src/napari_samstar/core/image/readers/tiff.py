"""TIFF files: checked before they are read, lazy where they are large."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.calibration import tiff_calibration
from napari_samstar.core.image.loaded import LoadedImage

if TYPE_CHECKING:
    from napari_samstar.core.image.calibration import Calibration
    from napari_samstar.core.image.planes import Array

LAZY_BYTES = 512 * 2**20
"""A stack larger than this is opened lazily, plane by plane."""

MOST_PIXELS = 400_000_000
"""Most pixels of one plane; beyond it SAM's working copies alone need several gigabytes."""

_MIN_IS_WHITE = 0
_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class LazyPages:
    """A TIFF stack whose planes are decoded when they are asked for.

    Behaves like an array for indexing: ``stack[2, 1]`` reads one page.

    Attributes
    ----------
    shape : tuple of int
        (..., H, W) or (..., H, W, samples).
    dtype : numpy.dtype
        Of the stored values.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: Any, leading: int) -> None:
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self._path = path
        self._pages = np.arange(math.prod(shape[:leading])).reshape(shape[:leading])

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Array:
        index = index if isinstance(index, tuple) else (index,)
        if Ellipsis in index:
            return np.asarray(np.asarray(self)[index])
        leading = self._pages.ndim
        wanted = np.asarray(self._pages[index[:leading]])
        planes = self._read(wanted.ravel())
        planes = planes.reshape(wanted.shape + self.shape[leading:])
        return np.asarray(planes[(slice(None),) * wanted.ndim + index[leading:]])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        everything = self[(slice(None),)]
        return everything if dtype is None else everything.astype(dtype)

    def _read(self, pages: Array) -> Array:
        try:
            with tifffile.TiffFile(self._path) as tif:
                found = tif.series[0].pages
                return np.stack([_decode(found[int(page)]) for page in pages])
        except Exception as error:
            raise damaged(self._path, error) from error


def _decode(page: Any) -> Array:
    if page is None:
        raise ValueError("a plane is missing")
    return np.asarray(page.asarray())


def damaged(path: Path, error: object) -> UserError:
    """Return the error for a file whose content cannot be decoded."""
    return UserError(f"{path.name} is damaged or not a complete image ({error}): get a fresh copy.")


class TiffReader:
    """Reads TIFF (also OME, ImageJ and BigTIFF); stacks above `LAZY_BYTES` are opened lazily."""

    name = "tiff"
    kinds = "TIFF"

    def supports(self, path: Path, head: bytes) -> bool:
        """Return whether the content is TIFF, whatever the file's ending."""
        return head.startswith(_HEADS)

    def read(self, path: Path) -> LoadedImage:
        """See `Reader.read`; the first image of the file is read."""
        array, rgb, axes, (size, unit), notes = _first_image(path)
        name = path.stem.removesuffix(".ome")
        return LoadedImage(array, rgb, axes, size, unit, name, notes, path=path)


def _first_image(path: Path) -> tuple[Any, bool, str, Calibration, tuple[str, ...]]:
    """Return (array, rgb, axes, calibration, notes).

    The array ends in (row, col), or (row, col, 3 or 4) where `rgb`. It is a NumPy array, a
    read-only memory map, or `LazyPages`, the last two above `LAZY_BYTES`.
    """
    try:
        with tifffile.TiffFile(path) as tif:
            if not len(tif.pages) or not tif.series:
                raise UserError(f"{path.name} is a TIFF file without an image: choose another.")
            series = tif.series[0]
            _check_size(path, series)
            notes = []
            if len(tif.series) > 1:
                notes.append(f"The first of {len(tif.series)} images in the file was read.")
            array, axes = _ordered(_open(path, series), series.axes)
            array = _black_is_zero(array, series.keyframe, notes)
            calibration = tiff_calibration(tif)
    except (UserError, MemoryError):
        raise
    except Exception as error:  # tifffile raises whatever its codecs raise
        raise _explained(path, error) from error
    return array, axes.endswith("S"), axes, calibration, tuple(notes)


def _explained(path: Path, error: Exception) -> UserError:
    if "imagecodecs" in str(error):
        return UserError(
            f"{path.name} is compressed in a way that needs the package imagecodecs: "
            "run 'pip install imagecodecs' or save the image without compression."
        )
    return damaged(path, error)


def _check_size(path: Path, series: Any) -> None:
    """Refuse what the file cannot hold, and planes too large to work on, before any allocation."""
    page, on_disk = series.keyframe, path.stat().st_size
    alone = page.compression == 1 and not series.is_multifile
    declared = series.size * page.bitspersample // 8 if alone else 0
    ends = [o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=False)]
    if max([declared, *ends]) > on_disk or not ends:
        raise UserError(
            f"{path.name} is incomplete: it announces {_size(max([declared, *ends]))} and has "
            f"{_size(on_disk)}; copy or export it again."
        )
    axes = dict(zip(series.axes, series.shape, strict=True))
    rows, cols = axes.get("Y", 1), axes.get("X", 1)
    if rows * cols > MOST_PIXELS:
        raise UserError(
            f"{path.name} has planes of {rows} x {cols} pixels, more than the {MOST_PIXELS:,} that "
            "are handled: crop it or export a smaller resolution level."
        )


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:.1f} MiB" if n_bytes >= 2**20 else f"{n_bytes} bytes"


def _open(path: Path, series: Any) -> Any:
    if series.nbytes <= LAZY_BYTES:
        return series.asarray()
    if series.dataoffset is not None:  # one uncompressed block
        return tifffile.memmap(path, mode="r", series=0)
    leading = series.ndim - len(series.keyframe.shape)
    one_plane_a_page = (
        series.axes.endswith(("YX", "YXS"))
        and series.shape[leading:] == series.keyframe.shape
        and len(series.pages) == math.prod(series.shape[:leading])
    )
    if leading > 0 and one_plane_a_page:
        return LazyPages(path, series.shape, series.dtype, leading)
    return series.asarray()


def _ordered(array: Any, axes: str) -> tuple[Any, str]:
    """Move rows and columns last, and after them the samples where they are colours."""
    colour = "S" in axes and array.shape[axes.index("S")] in (3, 4)
    last = [a for a in ("YXS" if colour else "YX") if a in axes]
    order = [a for a in axes if a not in last] + last
    if order != list(axes):
        array = np.transpose(np.asarray(array), [axes.index(a) for a in order])
    return array, "".join(order)


def _black_is_zero(array: Any, page: Any, notes: list[str]) -> Any:
    if page.photometric != _MIN_IS_WHITE or array.dtype.kind not in "bu":
        return array
    if isinstance(array, LazyPages | np.memmap):
        notes.append("The file stores white as zero: turn on 'invert'.")
        return array
    notes.append("The file stores white as zero, so it was inverted.")
    return ~array
