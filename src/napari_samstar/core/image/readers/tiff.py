"""TIFF files: read by what their tags say, checked before they are read, lazy where large."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.loaded import LoadedImage
from napari_samstar.core.image.planes import MOST_PIXELS
from napari_samstar.core.image.readers.lazy import LazyArray, damaged
from napari_samstar.core.image.readers.ome_xml import Channels, channels_of, file_part, parsed
from napari_samstar.core.image.readers.samples import mapped
from napari_samstar.core.image.readers.tiff_lazy import TiffSource, open_tiff
from napari_samstar.core.image.readers.tiff_samples import samples_of
from napari_samstar.core.image.readers.tiff_sizes import tiff_sizes
from napari_samstar.core.image.readers.tiff_warnings import quiet, remark

if TYPE_CHECKING:
    from napari_samstar.core.image.planes import Array
    from napari_samstar.core.image.readers.ome_xml import FilePart

LAZY_BYTES = 512 * 2**20
"""An image or stack larger than this is opened lazily and read window by window."""

THUMBNAIL = 4
"""An image is a thumbnail of another one that has this many times its pixels and its shape."""

_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


# --- the reader ---------------------------------------------------------------------------------


class TiffReader:
    """Reads TIFF (also OME, ImageJ and BigTIFF); images above `LAZY_BYTES` are opened lazily."""

    name = "tiff"
    kinds = "TIFF"
    suffixes: tuple[str, ...] = (".tif", ".tiff", ".btf", ".tf8")

    def supports(self, path: Path, head: bytes) -> bool:
        """Return whether the content is TIFF, whatever the file's ending."""
        return head.startswith(_HEADS)

    def read(self, path: Path, series: int | None = None, *, lazy: bool = False) -> LoadedImage:
        """See `Reader.read`. By default the first image is read that is not a thumbnail.

        Parameters
        ----------
        lazy : bool
            Whether a small image is opened lazily too.
        """
        try:
            with quiet() as said:
                return _read(path, series, said, lazy=lazy)
        except (UserError, MemoryError):
            raise
        except Exception as error:  # tifffile raises whatever its codecs raise
            raise _explained(path, error) from error


def read_stored(path: Path) -> tuple[Array, str]:
    """Return the stored numbers of a TIFF file and the letters of their axes, whatever they mean.

    Rows and columns come last, after them samples where there are several.
    """
    try:
        part = _part_of_set(path)
        with quiet(), open_tiff(path, alone=part is not None) as tif:
            series = tif.series[_chosen(path, tif.series, None)]
            _check_size(path, series)
            order, axes = _order(series.axes, are_channels=False)
            return np.transpose(series.asarray(), order), axes
    except (UserError, MemoryError):
        raise
    except Exception as error:  # tifffile raises whatever its codecs raise
        raise _explained(path, error) from error


@dataclass(frozen=True, eq=False)
class _File:
    """An open file: which of its images is read, and what its metadata say."""

    path: Path
    tif: tifffile.TiffFile
    index: int
    part: FilePart | None

    @property
    def series(self) -> Any:
        return self.tif.series[self.index]


def _read(path: Path, wanted: int | None, said: Sequence[str], *, lazy: bool) -> LoadedImage:
    part = _part_of_set(path)
    with open_tiff(path, alone=part is not None) as tif:
        if not len(tif.pages) or not tif.series:
            raise UserError(f"{path.name} is a TIFF file without an image: choose another.")
        file = _File(path, tif, _chosen(path, tif.series, wanted), part)
        _check_size(path, file.series)
        array, axes, notes = _values(file, lazy=lazy)
        channels = _channels(file, axes, array.shape)
        sizes = tiff_sizes(tif, file.index, path)
        several = len(tif.series) > 1
        return LoadedImage(
            array,
            axes.endswith("S"),
            axes,
            sizes.pixel_size,
            sizes.unit,
            name=path.stem.removesuffix(".ome"),
            notes=(*_notes(file, chosen=wanted is not None), *notes, *sizes.notes, *remark(said)),
            path=path,
            z_step=sizes.z_step,
            frame_time=sizes.frame_time,
            channel_names=channels.names,
            channel_colours=channels.colours,
            series=tuple(_described(k, one) for k, one in enumerate(tif.series) if several),
            series_index=file.index,
            bar_rows=sizes.bar_rows,
        )


def _part_of_set(path: Path) -> FilePart | None:
    """Return what a file of an OME set of several files holds; None for any other file."""
    with tifffile.TiffFile(path) as tif:
        return file_part(parsed(tif.ome_metadata), path.name) if tif.is_ome else None


def _values(file: _File, *, lazy: bool) -> tuple[Any, str, tuple[str, ...]]:
    """Return array, its axes and notes; the array is NumPy, or lazy where it is large."""
    series = file.series
    samples = samples_of(series.keyframe, file.path.name)
    stored_axes = series.axes
    if file.part is not None and len(series.shape) > len("YXS"[: 3 if "S" in stored_axes else 2]):
        stored_axes = file.part.axis + stored_axes[1:]
    order, axes = _order(stored_axes, are_channels=samples.are_channels)
    array: Any
    if lazy or _is_lazy(series):
        source = TiffSource(file.path.absolute(), file.index, file.part is not None)
        shape = tuple(series.shape[k] for k in order)
        array = LazyArray(source, shape, series.keyframe.dtype, order)
    else:
        array = np.transpose(series.asarray(), order)
    for one in samples.maps:
        array = mapped(array, one)
    if samples.maps and array.ndim != len(axes):
        axes = axes.removesuffix("S") if array.ndim < len(axes) else axes + "S"
    return array, axes, samples.notes


# --- which image --------------------------------------------------------------------------------


def _chosen(path: Path, series: Sequence[Any], wanted: int | None) -> int:
    """Return the index of the image to read: the wanted one, or the first that is no thumbnail."""
    if wanted is not None:
        if not 0 <= wanted < len(series):
            raise UserError(
                f"There is no image {wanted} in {path.name}: choose one from 0 to "
                f"{len(series) - 1}."
            )
        return wanted
    full = [k for k, one in enumerate(series) if not _is_reduced(one)] or list(range(len(series)))
    shapes = {k: _plane_shape(series[k]) for k in full}
    first = full[0]
    larger = [k for k in full if _is_thumbnail(shapes[first], shapes[k])]
    return max(larger, key=lambda k: (math.prod(shapes[k]), -k), default=first)


def _is_reduced(series: Any) -> bool:
    page = series.keyframe
    return bool(page.is_reduced or page.is_mask)


def _is_thumbnail(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Return whether one shape is that of a small version of the other."""
    small, large = math.prod(one), math.prod(other)
    alike = abs(one[0] * other[1] - one[1] * other[0]) <= max(other)  # one pixel of rounding
    return large >= THUMBNAIL * small > 0 and alike


def _described(k: int, series: Any) -> str:
    shape = " x ".join(map(str, series.shape))
    name = f", {series.name}" if series.name else ""
    return f"{k}: {shape} ({series.axes}), {series.dtype}{name}"


def _notes(file: _File, *, chosen: bool) -> list[str]:
    notes = []
    n = len(file.tif.series)
    if n > 1 and not chosen:
        rows, cols = _plane_shape(file.series)
        notes.append(f"Of {n} images in the file, image {file.index} ({rows} x {cols}) was read.")
    if file.part is not None:
        notes.append(
            f"The file belongs to a set of {file.part.n_files}; only its own planes were read."
        )
    if file.series.kind == "ome":
        n_missing = sum(page is None for page in file.series)
        if n_missing:
            total = len(file.series)
            notes.append(f"{n_missing} of {total} planes are missing and were read as zeros.")
    return notes


# --- axes and channels --------------------------------------------------------------------------


def _order(axes: str, *, are_channels: bool) -> tuple[tuple[int, ...], str]:
    """Return the order that moves rows and columns last, and colours after them."""
    last = [a for a in ("YX" if are_channels else "YXS") if a in axes]
    order = [a for a in axes if a not in last] + last
    names = "".join(order)
    if are_channels and "C" not in axes:
        names = names.replace("S", "C")
    return tuple(axes.index(a) for a in order), names


def _channels(file: _File, axes: str, shape: tuple[int, ...]) -> Channels:
    """Return names and colours of the channels, as OME or ImageJ give them."""
    if "C" not in axes:
        return Channels()
    n = shape[axes.index("C")]
    if file.tif.is_ome:
        found = channels_of(parsed(file.tif.ome_metadata), file.index)
    else:
        found = _imagej_channels(file.tif.imagej_metadata or {}, n)
    return Channels(
        *(values if len(values) == n else () for values in (found.names, found.colours))
    )


def _imagej_channels(meta: dict[str, Any], n: int) -> Channels:
    """Return ImageJ's label of each channel, and the brightest colour of each lookup table."""
    labels = [str(one).strip() for one in meta.get("Labels") or ()]
    names = tuple(labels) if len(labels) == n and len(set(labels)) == n and all(labels) else ()
    tables = [np.asarray(one) for one in meta.get("LUTs") or ()]
    colours = tuple("#{:02x}{:02x}{:02x}".format(*table[:, -1].tolist()) for table in tables)
    return Channels(names, colours)


# --- checks -------------------------------------------------------------------------------------


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


def _explained(path: Path, error: Exception) -> UserError:
    if "imagecodecs" in str(error):
        return UserError(
            f"{path.name} is compressed in a way that needs the package imagecodecs: "
            "run 'pip install imagecodecs' or save the image without compression."
        )
    return damaged(path, error)


def _plane_shape(series: Any) -> tuple[int, int]:
    axes = dict(zip(series.axes, series.shape, strict=True))
    return axes.get("Y", 1), axes.get("X", 1)


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:.1f} MiB" if n_bytes >= 2**20 else f"{n_bytes} bytes"


def _is_lazy(series: Any) -> bool:
    rows, cols = _plane_shape(series)
    return bool(series.nbytes > LAZY_BYTES or rows * cols > MOST_PIXELS)
