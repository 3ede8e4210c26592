"""Pixel sizes from the metadata of TIFF files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from xml.etree import ElementTree

if TYPE_CHECKING:
    from tifffile import TiffFile

Calibration: TypeAlias = tuple[tuple[float, float] | None, str]
"""((row, col) size of a pixel, unit), or (None, "px") where nothing is known."""

UNKNOWN: Calibration = (None, "px")

PRINTING_UM = 10.0
"""Inch and centimetre resolutions coarser than this are printing defaults such as 300 dpi."""

_NM_BELOW_M = 1e-7  # instruments that store metres: show smaller pixels in nm

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
    "inch": ("µm", 25400.0),
}


def tiff_calibration(tif: TiffFile) -> Calibration:
    """Return the pixel size of the first image and its unit, "nm" or "µm".

    Looked for in this order: OME-XML, FEI/Thermo and Zeiss SEM headers, ImageJ metadata, and the
    resolution tags in centimetres or inches (unless they are coarser than `PRINTING_UM`, which
    says something about paper). Lengths in nm and µm are given as stored; others are turned into
    one of the two.
    """
    for read in (_ome, _fei, _zeiss, _imagej, _resolution_tags):
        size, unit = read(tif)
        if size is not None:
            return size, unit
    return UNKNOWN


def file_calibration(path: str | Path) -> Calibration:
    """Return what a file says of its pixels; unknown for anything but a TIFF that can be read."""
    import tifffile

    if Path(path).suffix.lower() not in (".tif", ".tiff"):
        return UNKNOWN
    try:
        with tifffile.TiffFile(path) as tif:
            return tiff_calibration(tif)
    except Exception:  # tifffile raises many kinds; whoever reads the image says what is wrong
        return UNKNOWN


def in_nm_or_um(row: Any, col: Any, unit: str) -> Calibration:
    """Return (row, col) in "nm" or "µm", unknown where a number or the unit makes no sense."""
    name = _plain(unit)
    known = _UNITS.get(name) or _UNITS.get(name.removesuffix("s"))
    try:
        size = float(row), float(col)
    except (TypeError, ValueError):
        return UNKNOWN
    if known is None or not all(math.isfinite(v) and v > 0 for v in size):
        return UNKNOWN
    return (size[0] * known[1], size[1] * known[1]), known[0]


def _plain(unit: str) -> str:
    """Spell a unit in one way: ImageJ escapes the micro sign, others use the Greek letter."""
    unit = unit.strip().lower().replace("\\u00b5", "µ").replace("\u03bc", "µ").replace("\x00", "")
    return unit.replace("metre", "meter").replace("µmeter", "µm")


def _ome(tif: TiffFile) -> Calibration:
    if not tif.is_ome or not tif.ome_metadata:
        return UNKNOWN
    try:
        root = ElementTree.fromstring(tif.ome_metadata)
    except ElementTree.ParseError:
        return UNKNOWN
    pixels = next((e.attrib for e in root.iter() if e.tag.endswith("Pixels")), {})
    col, col_unit = pixels.get("PhysicalSizeX"), pixels.get("PhysicalSizeXUnit", "µm")
    row, row_unit = pixels.get("PhysicalSizeY", col), pixels.get("PhysicalSizeYUnit", col_unit)
    rows, first = in_nm_or_um(row, row, row_unit)
    cols, second = in_nm_or_um(col, col, col_unit)
    if rows is None or cols is None:
        return UNKNOWN
    if first != second:  # one axis in nm, the other in µm
        to_um = {"nm": 1e-3, "µm": 1.0}
        return (rows[0] * to_um[first], cols[0] * to_um[second]), "µm"
    return (rows[0], cols[0]), first


def _fei(tif: TiffFile) -> Calibration:
    meta = tif.fei_metadata or {}
    for section in ("Scan", "EScan"):
        found = meta.get(section, {})
        if "PixelWidth" in found:
            return _metres(found.get("PixelHeight", found["PixelWidth"]), found["PixelWidth"])
    return UNKNOWN


def _metres(row: Any, col: Any) -> Calibration:
    size, unit = in_nm_or_um(row, col, "m")
    if size is not None and max(size) < _NM_BELOW_M * 1e6:
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
    per_row, per_col = _per_pixel(tif)
    if per_row is None or per_col is None:
        return UNKNOWN
    size, name = in_nm_or_um(per_row, per_col, unit)
    if _plain(unit) == "inch" and size is not None and max(size) > PRINTING_UM:
        return UNKNOWN
    return size, name


def _resolution_tags(tif: TiffFile) -> Calibration:
    tag = tif.pages.first.tags.get("ResolutionUnit")
    per_row, per_col = _per_pixel(tif)
    unit = {2: "inch", 3: "cm"}.get(int(tag.value) if tag is not None else 2)
    if unit is None or per_row is None or per_col is None:
        return UNKNOWN
    size, name = in_nm_or_um(per_row, per_col, unit)
    return UNKNOWN if size is None or max(size) > PRINTING_UM else (size, name)


def _per_pixel(tif: TiffFile) -> tuple[float | None, float | None]:
    """Return the (row, col) size of a pixel in the tags' own unit."""

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
