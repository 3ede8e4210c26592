"""Pixel sizes from what TIFF files hold: one function for each maker of instruments.

What tifffile parses is taken from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari_samstar.core.image.readers.ome_xml import parsed
from napari_samstar.core.image.readers.paper import is_paper, is_paper_unit
from napari_samstar.core.image.readers.sidecars import NUMBER, tescan
from napari_samstar.core.image.units import UNKNOWN, Calibration, in_nm_or_um, in_one_unit

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from napari_samstar.core.image.readers.tiff_header import Header

RESOLUTION_TAGS = "the resolution tags"
"""The last source: microscopes write there what others write for printing."""

TESCAN, _FEI_TITAN = 50431, 34683
_DM_UNITS, _DM_SCALES = (65004, 65003), (65010, 65009)  # rows, columns


def _ome(header: Header) -> Calibration:
    col, col_unit = header.ome.get("PhysicalSizeX"), header.ome.get("PhysicalSizeXUnit", "µm")
    row = header.ome.get("PhysicalSizeY", col)
    return in_one_unit(row, header.ome.get("PhysicalSizeYUnit", col_unit), col, col_unit)


def _fei(header: Header) -> Calibration:
    meta = header.tif.fei_metadata or {}
    for section in ("Scan", "EScan", "IRBeam", "EBeam"):
        found = meta.get(section, {})
        if "PixelWidth" in found:
            row, col = found.get("PixelHeight", found["PixelWidth"]), found["PixelWidth"]
            return in_nm_or_um(row, col, "m")
    return _fei_xml(header)


def _fei_xml(header: Header) -> Calibration:
    """Return the size from the XML of Thermo Fisher's newer software."""
    text = header.text(_FEI_TITAN) or str(header.page.description or "")
    root = parsed(text.strip("\x00 \r\n")) if text.lstrip().startswith("<") else None
    if root is None or root.tag.endswith("OME"):
        return UNKNOWN
    for element in root.iter():
        name = element.tag.rpartition("}")[2].lower()
        children = {child.tag.rpartition("}")[2].lower(): child for child in element}
        if name == "pixelsize" and {"x", "y"} <= set(children):
            return _of_elements(children["y"], children["x"])
        if {"pixelwidth", "pixelheight"} <= set(children):
            return _of_elements(children["pixelheight"], children["pixelwidth"])
    return UNKNOWN


def _of_elements(row: Element, col: Element) -> Calibration:
    units = [one.attrib.get("unit", "m") for one in (row, col)]
    return in_one_unit(row.text, units[0], col.text, units[1])


def _zeiss(header: Header) -> Calibration:
    meta = header.tif.sem_metadata or {}
    for name in ("ap_image_pixel_size", "ap_pixel_size"):
        entry = meta.get(name, ())
        if len(entry) >= 3:
            return in_nm_or_um(entry[1], entry[1], str(entry[2]))
        if len(entry) == 2 and (found := re.fullmatch(rf"{NUMBER}\s*(\S+)", str(entry[1]).strip())):
            return in_nm_or_um(found[1], found[1], found[2])
    return UNKNOWN


def _tescan(header: Header) -> Calibration:
    return tescan(header.text(TESCAN))


def _digital_micrograph(header: Header) -> Calibration:
    units = [header.tag(code) for code in _DM_UNITS]
    row, col = (header.tag(code) for code in _DM_SCALES)
    if row is None or col is None:
        return UNKNOWN
    return in_one_unit(row, _utf16(units[0]), col, _utf16(units[1]))


def _utf16(value: Any) -> str:
    if isinstance(value, tuple | list):
        value = bytes(v % 256 for v in value)
    return value.decode("utf-16-le", "ignore") if isinstance(value, bytes) else str(value or "")


def _sis(header: Header) -> Calibration:
    meta = header.tif.sis_metadata or {}
    return in_nm_or_um(meta.get("pixelsizey"), meta.get("pixelsizex"), "m")


def _lsm(header: Header) -> Calibration:
    meta = header.tif.lsm_metadata or {}
    return in_nm_or_um(meta.get("VoxelSizeY"), meta.get("VoxelSizeX"), "m")


def _metamorph(header: Header) -> Calibration:
    meta = header.tif.stk_metadata or {}
    unit = str(meta.get("CalibrationUnits", ""))
    if not meta.get("SpatialCalibration", True):
        return UNKNOWN
    return in_nm_or_um(meta.get("YCalibration"), meta.get("XCalibration"), unit)


def _metaseries(header: Header) -> Calibration:
    """Return the size from the XML of MetaMorph's newer versions."""
    meta = (header.tif.metaseries_metadata or {}).get("PlaneInfo", {})
    if not meta.get("spatial-calibration-state", True):
        return UNKNOWN
    row, col = (meta.get(f"spatial-calibration-{axis}") for axis in "yx")
    return in_nm_or_um(row, col, str(meta.get("spatial-calibration-units", "")))


def _fluoview(header: Header) -> Calibration:
    found = {}
    for axis in (header.tif.fluoview_metadata or {}).get("Dimensions", ()):
        if len(axis) >= 5:
            found[str(axis[0]).strip().lower()] = axis[3], str(axis[4])
    if not {"x", "y"} <= set(found):
        return UNKNOWN
    (col, col_unit), (row, row_unit) = found["x"], found["y"]
    return in_one_unit(row, row_unit, col, col_unit)


def _micro_manager(header: Header) -> Calibration:
    meta = header.tif.micromanager_metadata or {}
    for place in (meta.get("Summary") or {}, header.tag("MicroManagerMetadata") or {}):
        size = place.get("PixelSizeUm") if isinstance(place, dict) else None
        if size:
            return in_nm_or_um(size, size, "µm")
    return UNKNOWN


def _aperio(header: Header) -> Calibration:
    found = re.search(rf"\bMPP\s*=\s*{NUMBER}", str(header.tif.pages.first.description or ""))
    return UNKNOWN if found is None else in_nm_or_um(found[1], found[1], "µm")


def _tvips(header: Header) -> Calibration:
    meta = header.tif.tvips_metadata or {}
    return in_nm_or_um(meta.get("PixelSizeY"), meta.get("PixelSizeX"), "nm")


def _imagej(header: Header) -> Calibration:
    size, name = in_nm_or_um(*header.resolution, header.imagej_unit)
    on_paper = is_paper_unit(header.imagej_unit) and is_paper(size, name)
    return UNKNOWN if on_paper else (size, name)


def _resolution_tags(header: Header) -> Calibration:
    size, name = in_nm_or_um(*header.resolution, header.resolution_unit)
    return UNKNOWN if is_paper(size, name) else (size, name)


SOURCES: tuple[tuple[str, Callable[[Header], Calibration]], ...] = (
    ("", _ome),
    ("the header of the FEI or Thermo Fisher microscope", _fei),
    ("the header of the Zeiss microscope", _zeiss),
    ("the header of the TESCAN microscope", _tescan),
    ("the tags of DigitalMicrograph", _digital_micrograph),
    ("the header of the Olympus SIS camera", _sis),
    ("the header of the Zeiss LSM microscope", _lsm),
    ("the header of MetaMorph", _metamorph),
    ("the header of MetaMorph", _metaseries),
    ("the header of FluoView", _fluoview),
    ("Micro-Manager's metadata", _micro_manager),
    ("the description of the Aperio scanner", _aperio),
    ("the header of the TVIPS camera", _tvips),
    ("", _imagej),
    (RESOLUTION_TAGS, _resolution_tags),
)
"""How a note names each source, and what reads it; in the order in which they are searched."""
