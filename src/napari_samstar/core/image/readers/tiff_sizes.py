"""Pixel sizes, distances of planes and frame times from what TIFF files hold.

Each maker of instruments has a place of its own; `SOURCES` is the order in which they are searched.
What tifffile parses is taken from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_samstar.core.image.readers.ome_xml import parsed, pixels_of
from napari_samstar.core.image.units import (
    UNKNOWN,
    Calibration,
    in_nm_or_um,
    in_one_unit,
    in_seconds,
    length_in,
)

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from tifffile import TiffFile

COARSEST_UM = 10.0
"""Resolutions in inches or centimetres that are coarser are those of paper, such as 300 dpi."""

_TESCAN, _FEI_TITAN = 50431, 34683
_DM_UNITS, _DM_SCALES = (65004, 65003), (65010, 65009)  # rows, columns
_NUMBER = r"([-+0-9.,eE]+)"


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


@dataclass(frozen=True, eq=False)
class Header:
    """The metadata of one image of an open TIFF file.

    Attributes
    ----------
    tif : TiffFile
    index : int
        Of the image among those of the file.
    path : Path
        For the text files that some instruments write beside the image.
    """

    tif: TiffFile
    index: int
    path: Path

    @cached_property
    def ome(self) -> dict[str, str]:
        """What OME-XML says of the image's pixels; empty without."""
        text = str(self.tif.pages.first.description or "")
        root = parsed(text) if "<OME" in text[:2000] or ":OME" in text[:2000] else None
        pixels = pixels_of(root, self.index)
        return {} if pixels is None else dict(pixels.attrib)

    @cached_property
    def page(self) -> Any:
        """The first page of the image."""
        return self.tif.series[self.index].keyframe

    def tag(self, code: int | str) -> Any:
        """Return the value of a tag of the image's first page, or of the file's; None without."""
        for page in (self.page, self.tif.pages.first):
            tag = page.tags.get(code)
            if tag is not None:
                return tag.value
        return None

    def text(self, code: int | str) -> str:
        """Return a tag as text, whatever its type; empty without."""
        value = self.tag(code)
        if isinstance(value, tuple | list):
            value = bytes(v % 256 for v in value)
        return value.decode("latin-1") if isinstance(value, bytes) else str(value or "")


def tiff_sizes(tif: TiffFile, index: int, path: Path) -> Sizes:
    """Return what a file says of the distances in one of its images."""
    header = Header(tif, index, path)
    notes: tuple[str, ...] = ()
    size, unit = UNKNOWN
    for name, read in SOURCES:
        size, unit = read(header)
        if size is not None:
            notes = () if not name else (f"The pixel size is from {name}.",)
            break
    else:
        notes = _paper_note(header)
    z_step, frame_time = _steps(header, unit)
    return Sizes(size, unit, z_step, frame_time, notes, _bar_rows(header))


# --- instruments --------------------------------------------------------------------------------


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
            return in_nm_or_um(number(row), number(col), "m")
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
    return in_one_unit(number(row.text), units[0], number(col.text), units[1])


def _zeiss(header: Header) -> Calibration:
    meta = header.tif.sem_metadata or {}
    for name in ("ap_image_pixel_size", "ap_pixel_size"):
        entry = meta.get(name, ())
        if len(entry) >= 3:
            return in_nm_or_um(number(entry[1]), number(entry[1]), str(entry[2]))
        if len(entry) == 2 and (
            found := re.fullmatch(rf"{_NUMBER}\s*(\S+)", str(entry[1]).strip())
        ):
            return in_nm_or_um(number(found[1]), number(found[1]), found[2])
    return UNKNOWN


def _tescan(header: Header) -> Calibration:
    text = header.text(_TESCAN) or _sidecar(header, ".hdr")
    return in_nm_or_um(_entry(text, "PixelSizeY"), _entry(text, "PixelSizeX"), "m")


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
            return in_nm_or_um(number(size), number(size), "µm")
    return UNKNOWN


def _aperio(header: Header) -> Calibration:
    found = re.search(rf"\bMPP\s*=\s*{_NUMBER}", str(header.tif.pages.first.description or ""))
    return UNKNOWN if found is None else in_nm_or_um(number(found[1]), number(found[1]), "µm")


def _jeol(header: Header) -> Calibration:
    """Return the size from JEOL's text file: the length of the scale bar, in px and in µm or nm."""
    text = _sidecar(header, ".txt")
    bar = _entry(text, r"\$\$SM_MICRON_BAR", separator=r"\s+")
    marker = re.search(rf"\$\$SM_MICRON_MARKER\s+{_NUMBER}\s*(\S+)", text)
    if not bar or marker is None or not (length := number(marker[1])):
        return UNKNOWN
    return in_nm_or_um(length / bar, length / bar, marker[2])


def _hitachi(header: Header) -> Calibration:
    text = _sidecar(header, ".txt")
    size = _entry(text, "PixelSize") if "[SemImageFile]" in text else None
    return in_nm_or_um(size, size, "nm")


def _imagej(header: Header) -> Calibration:
    unit = str((header.tif.imagej_metadata or {}).get("unit", ""))
    size, name = in_nm_or_um(*_resolution(header), unit)
    on_paper = unit.strip().lower() in ("inch", "in", "cm") and size is not None
    return UNKNOWN if on_paper and _is_paper(size, name) else (size, name)


def _resolution_tags(header: Header) -> Calibration:
    size, name = in_nm_or_um(*_resolution(header), _tag_unit(header))
    return UNKNOWN if _is_paper(size, name) else (size, name)


SOURCES: tuple[tuple[str, Callable[[Header], Calibration]], ...] = (
    ("", _ome),
    ("the header of the FEI or Thermo Fisher microscope", _fei),
    ("the header of the Zeiss microscope", _zeiss),
    ("the header of the TESCAN microscope", _tescan),
    ("the tags of DigitalMicrograph", _digital_micrograph),
    ("the header of the Olympus SIS camera", _sis),
    ("the header of the Zeiss LSM microscope", _lsm),
    ("the header of MetaMorph", _metamorph),
    ("the header of FluoView", _fluoview),
    ("Micro-Manager's metadata", _micro_manager),
    ("the description of the Aperio scanner", _aperio),
    ("the text file of the JEOL microscope", _jeol),
    ("the text file of the Hitachi microscope", _hitachi),
    ("", _imagej),
    ("the resolution tags", _resolution_tags),
)
"""How a note names each source, and what reads it."""


# --- helpers ------------------------------------------------------------------------------------


def number(value: Any) -> float | None:
    """Return a number of a header; a single comma is a decimal one. None if it is no number."""
    if isinstance(value, int | float):
        return float(value)
    text = str(value or "").strip()
    if text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")
    try:
        return float(text)
    except ValueError:
        return None


def _entry(text: str, name: str, separator: str = r"\s*=\s*") -> float | None:
    """Return the number of a line such as 'name = 1.5'."""
    found = re.search(rf"(?m)^\s*{name}{separator}{_NUMBER}", text)
    return None if found is None else number(found[1])


def _sidecar(header: Header, suffix: str) -> str:
    """Return the text file beside an image, of the same name; empty without."""
    for path in (header.path.with_suffix(suffix), header.path.with_suffix(suffix.upper())):
        try:
            if path.stat().st_size < 2**20:
                return path.read_bytes().decode("utf-8", "replace")
        except OSError:
            continue
    return ""


def _resolution(header: Header) -> tuple[float | None, float | None]:
    """Return the (row, col) size of a pixel in the unit of the resolution tags."""

    def length(name: str) -> float | None:
        try:
            pixels, units = header.tag(name)
            return float(units) / float(pixels)
        except (TypeError, ValueError, ZeroDivisionError):
            return None

    return length("YResolution"), length("XResolution")


def _tag_unit(header: Header) -> str:
    unit = header.tag("ResolutionUnit")
    return {2: "inch", 3: "cm"}.get(int(unit) if unit is not None else 2, "")


def _is_paper(size: tuple[float, float] | None, unit: str) -> bool:
    in_um = None if size is None else length_in(max(size), unit, "µm")
    return in_um is not None and in_um > COARSEST_UM


def _paper_note(header: Header) -> tuple[str, ...]:
    """Return a note where a resolution is there and was not used."""
    size, unit = in_nm_or_um(*_resolution(header), _tag_unit(header))
    if size is None or not _is_paper(size, unit):
        return ()
    in_um = length_in(size[1], unit, "µm")
    assert in_um is not None
    dots = 25400 / in_um
    if dots < 2:  # "1 dot per inch" is what writers put in for want of anything
        return ()
    return (f"Its resolution of {dots:.0f} dpi is for printing: the pixel size is not known.",)


def _bar_rows(header: Header) -> int | None:
    """Return the rows of the data bar that FEI's or TESCAN's header tells."""
    fei = header.tif.fei_metadata or {}
    rows = number(fei.get("PrivateFei", {}).get("DatabarHeight"))
    if not rows:
        rows = _entry(header.text(_TESCAN), "ImageStripSize")
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
