"""Pixel sizes, distances of planes and frame times from what TIFF files hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_samstar.core.image.readers.paper import paper_note
from napari_samstar.core.image.readers.sidecars import entry, size_beside
from napari_samstar.core.image.readers.tiff_header import Header
from napari_samstar.core.image.readers.tiff_makers import (
    RESOLUTION_TAGS,
    SOURCES,
    TESCAN,
)
from napari_samstar.core.image.units import (
    Calibration,
    in_nm_or_um,
    in_seconds,
    length_in,
    number,
)

if TYPE_CHECKING:
    from tifffile import TiffFile


@dataclass(frozen=True)
class Sizes:
    """What is known of the distances in an image.

    Attributes
    ----------
    pixel_size, unit
        See `Calibration`.
    z_step : float, optional
        Distance of planes, in `unit`.
    frame_time : float, optional
        Time between frames, s.
    notes : tuple of str
        Where the size is from, where it is not from a usual place.
    bar_rows : int, optional
        Rows of the data bar at the bottom of the image.
    """

    pixel_size: tuple[float, float] | None = None
    unit: str = "px"
    z_step: float | None = None
    frame_time: float | None = None
    notes: tuple[str, ...] = ()
    bar_rows: int | None = None


def tiff_sizes(tif: TiffFile, index: int, path: Path) -> Sizes:
    """Return what a file, and a text file beside it, say of the distances in one of its images."""
    header = Header(tif, index)
    (size, unit), source = _pixel_size(header, path)
    notes: tuple[str, ...] = (f"The pixel size is from {source}.",) if source else ()
    if size is None:
        notes = _paper_note(header)
    z_step, frame_time = _steps(header, unit)
    return Sizes(size, unit, z_step, frame_time, notes, _bar_rows(header))


def _pixel_size(header: Header, path: Path) -> tuple[Calibration, str]:
    """Return the pixel size and how a note names its source; empty for the usual ones."""
    own = next(((found, name) for name, read in SOURCES if (found := read(header))[0]), None)
    if own is not None and own[1] != RESOLUTION_TAGS:
        return own
    beside = size_beside(path, int(header.page.imagewidth))
    return beside if own is None or beside[0][0] is not None else own


def _paper_note(header: Header) -> tuple[str, ...]:
    """Return a note where a resolution is there and was not used."""
    units = (header.imagej_unit, header.resolution_unit)
    found = (paper_note(*in_nm_or_um(*header.resolution, unit)) for unit in units)
    return next((note for note in found if note), ())


def _bar_rows(header: Header) -> int | None:
    """Return the rows of the data bar that FEI's or TESCAN's header tells."""
    fei = header.tif.fei_metadata or {}
    rows = number(fei.get("PrivateFei", {}).get("DatabarHeight"))
    if not rows:
        rows = entry(header.text(TESCAN), "ImageStripSize")
    return int(rows) if rows else None


def _steps(header: Header, unit: str) -> tuple[float | None, float | None]:
    """Return the distance of planes in `unit` and the time between frames in s."""
    if header.ome:
        z_unit = header.ome.get("PhysicalSizeZUnit", "µm")
        time, time_unit = header.ome.get("TimeIncrement"), header.ome.get("TimeIncrementUnit", "s")
        z = length_in(header.ome.get("PhysicalSizeZ"), z_unit, unit)
        return z, in_seconds(time, time_unit)
    if header.tif.is_lsm:
        meta = header.tif.lsm_metadata or {}
        return length_in(meta.get("VoxelSizeZ"), "m", unit), in_seconds(
            meta.get("TimeInterval"), "s"
        )
    meta = header.tif.imagej_metadata or {}
    z = length_in(meta.get("spacing"), str(meta.get("unit", "")), unit)
    return z, in_seconds(meta.get("finterval"), "s")
