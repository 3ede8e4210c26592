"""Pixel sizes, distances of planes and frame times from the metadata of files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from xml.etree import ElementTree

if TYPE_CHECKING:
    from tifffile import TiffFile

Calibration: TypeAlias = tuple[tuple[float, float] | None, str]
"""((row, col) size of a pixel, unit), or (None, "px") if it is not known."""

UNKNOWN: Calibration = (None, "px")

MAX_RESOLUTION_TAG_UM = 10.0
"""Coarser resolutions in inches or centimetres are defaults for printing, such as 300 dpi."""

_NM_BELOW_UM = 1e-7 * 1e6  # lengths stored in metres are given in nm below this

_TO_UM = {"nm": 1e-3, "µm": 1.0}

_UNITS: dict[str, tuple[str, float]] = {
    "nm": ("nm", 1.0),
    "nanometer": ("nm", 1.0),
    "pm": ("nm", 1e-3),
    "å": ("nm", 0.1),
    "angstrom": ("nm", 0.1),
    "µm": ("µm", 1.0),
    "um": ("µm", 1.0),
    "micron": ("µm", 1.0),
    "micrometer": ("µm", 1.0),
    "mm": ("µm", 1e3),
    "millimeter": ("µm", 1e3),
    "cm": ("µm", 1e4),
    "centimeter": ("µm", 1e4),
    "m": ("µm", 1e6),
    "meter": ("µm", 1e6),
    "picometer": ("nm", 1e-3),
    "inch": ("µm", 25400.0),
}

_SECONDS = {
    "ns": 1e-9,
    "nanosecond": 1e-9,
    "µs": 1e-6,
    "us": 1e-6,
    "microsecond": 1e-6,
    "ms": 1e-3,
    "msec": 1e-3,
    "millisecond": 1e-3,
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "min": 60.0,
    "minute": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
    "d": 86400.0,
    "day": 86400.0,
}


def tiff_calibration(tif: TiffFile) -> Calibration:
    """Return the pixel size of the first image and its unit, "nm" or "µm".

    It is searched for in this order: OME-XML, FEI/Thermo and Zeiss SEM headers, ImageJ metadata,
    and the resolution tags in centimetres or inches, unless these are coarser than
    `MAX_RESOLUTION_TAG_UM`. Lengths in nm and µm are returned as stored, others are converted to
    one of the two.
    """
    for read in (_ome, _fei, _zeiss, _imagej, _resolution_tags):
        size, unit = read(tif)
        if size is not None:
            return size, unit
    return UNKNOWN


def tiff_steps(tif: TiffFile, unit: str) -> tuple[float | None, float | None]:
    """Return the distance of planes in `unit` and the time between frames in s; None if not known.

    OME-XML (PhysicalSizeZ, TimeIncrement) is searched first, then ImageJ's metadata (spacing,
    finterval).
    """
    pixels = _ome_pixels(tif)
    if pixels is not None:
        z = length_in(pixels.get("PhysicalSizeZ"), pixels.get("PhysicalSizeZUnit", "µm"), unit)
        time = pixels.get("TimeIncrement")
        return z, in_seconds(time, pixels.get("TimeIncrementUnit", "s"))
    meta = tif.imagej_metadata or {}
    z = length_in(meta.get("spacing"), str(meta.get("unit", "")), unit)
    return z, in_seconds(meta.get("finterval"), "s")


def file_calibration(path: str | Path) -> Calibration:
    """Return the pixel size in a TIFF file; `UNKNOWN` for other or unreadable files."""
    import tifffile

    if Path(path).suffix.lower() not in (".tif", ".tiff"):
        return UNKNOWN
    try:
        with tifffile.TiffFile(path) as tif:
            return tiff_calibration(tif)
    except Exception:  # tifffile raises many kinds of errors; the reader of the image reports them
        return UNKNOWN


def in_nm_or_um(row: Any, col: Any, unit: str) -> Calibration:
    """Convert a pixel size (row, col) to "nm" or "µm"; `UNKNOWN` if it is invalid."""
    name = _normalised(unit)
    known = _UNITS.get(name) or _UNITS.get(name.removesuffix("s"))
    try:
        size = float(row), float(col)
    except (TypeError, ValueError):
        return UNKNOWN
    if known is None or not all(math.isfinite(v) and v > 0 for v in size):
        return UNKNOWN
    return (size[0] * known[1], size[1] * known[1]), known[0]


def length_in(length: Any, unit: str, wanted: str) -> float | None:
    """Convert a length to "nm" or "µm"; None if it is invalid or one of the units not known."""
    size, known = in_nm_or_um(length, length, unit)
    if size is None or wanted not in _TO_UM:
        return None
    return size[0] if known == wanted else size[0] * _TO_UM[known] / _TO_UM[wanted]


def in_seconds(time: Any, unit: str) -> float | None:
    """Convert a time to s; None if it is not positive or its unit not known."""
    name = _normalised(unit)
    factor = _SECONDS.get(name) or _SECONDS.get(name.removesuffix("s"))
    try:
        value = float(time)
    except (TypeError, ValueError):
        return None
    return value * factor if factor and math.isfinite(value) and value > 0 else None


def in_one_unit(row: Any, row_unit: str, col: Any, col_unit: str) -> Calibration:
    """Convert a pixel size whose rows and columns may have different units."""
    rows, first = in_nm_or_um(row, row, row_unit)
    cols, second = in_nm_or_um(col, col, col_unit)
    if rows is None or cols is None:
        return UNKNOWN
    if first != second:
        return (rows[0] * _TO_UM[first], cols[0] * _TO_UM[second]), "µm"
    return (rows[0], cols[0]), first


def _normalised(unit: str) -> str:
    """Return a unit in one spelling: ImageJ escapes the micro sign, others use the Greek letter."""
    unit = unit.strip().lower().replace("\\u00b5", "µ").replace("\u03bc", "µ").replace("\x00", "")
    return unit.replace("metre", "meter").replace("µmeter", "µm")


def _ome_pixels(tif: TiffFile) -> dict[str, str] | None:
    """Return what OME-XML says of the first image; None without."""
    if not tif.is_ome or not tif.ome_metadata:
        return None
    try:
        root = ElementTree.fromstring(tif.ome_metadata)
    except ElementTree.ParseError:
        return None
    return next((e.attrib for e in root.iter() if e.tag.endswith("Pixels")), None)


def _ome(tif: TiffFile) -> Calibration:
    pixels = _ome_pixels(tif) or {}
    col, col_unit = pixels.get("PhysicalSizeX"), pixels.get("PhysicalSizeXUnit", "µm")
    row, row_unit = pixels.get("PhysicalSizeY", col), pixels.get("PhysicalSizeYUnit", col_unit)
    return in_one_unit(row, row_unit, col, col_unit)


def _fei(tif: TiffFile) -> Calibration:
    meta = tif.fei_metadata or {}
    for section in ("Scan", "EScan"):
        found = meta.get(section, {})
        if "PixelWidth" in found:
            return _from_metres(found.get("PixelHeight", found["PixelWidth"]), found["PixelWidth"])
    return UNKNOWN


def _from_metres(row: Any, col: Any) -> Calibration:
    size, unit = in_nm_or_um(row, col, "m")
    if size is not None and max(size) < _NM_BELOW_UM:
        return (size[0] * 1e3, size[1] * 1e3), "nm"
    return size, unit


def _zeiss(tif: TiffFile) -> Calibration:
    meta = tif.sem_metadata or {}
    for name in ("ap_image_pixel_size", "ap_pixel_size"):
        entry = meta.get(name, ())
        if len(entry) >= 3:
            return in_nm_or_um(entry[1], entry[1], str(entry[2]))
    return UNKNOWN


def _imagej(tif: TiffFile) -> Calibration:
    meta = tif.imagej_metadata or {}
    unit = str(meta.get("unit", ""))
    row, col = _resolution(tif)
    if row is None or col is None:
        return UNKNOWN
    size, name = in_nm_or_um(row, col, unit)
    if _normalised(unit) == "inch" and size is not None and max(size) > MAX_RESOLUTION_TAG_UM:
        return UNKNOWN
    return size, name


def _resolution_tags(tif: TiffFile) -> Calibration:
    tag = tif.pages.first.tags.get("ResolutionUnit")
    row, col = _resolution(tif)
    unit = {2: "inch", 3: "cm"}.get(int(tag.value) if tag is not None else 2)
    if unit is None or row is None or col is None:
        return UNKNOWN
    size, name = in_nm_or_um(row, col, unit)
    return UNKNOWN if size is None or max(size) > MAX_RESOLUTION_TAG_UM else (size, name)


def _resolution(tif: TiffFile) -> tuple[float | None, float | None]:
    """Return the (row, col) size of a pixel in the unit of the resolution tags."""

    def length(name: str) -> float | None:
        tag = tif.pages.first.tags.get(name)
        if tag is None:
            return None
        try:
            pixels, units = tag.value
            return float(units) / float(pixels)
        except (TypeError, ValueError, ZeroDivisionError):
            return None

    return length("YResolution"), length("XResolution")
