"""Text files that instruments write beside an image, with the size of its pixels."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from napari_samstar.core.image.units import UNKNOWN, Calibration, in_nm_or_um, number

NUMBER = r"([-+0-9.,eE]+)"
"""A number in a regular expression, with a point or a comma."""

_MOST_BYTES = 2**20  # a longer text is no header


def tescan(text: str) -> Calibration:
    """Return the pixel size of TESCAN's header."""
    return in_nm_or_um(entry(text, "PixelSizeY"), entry(text, "PixelSizeX"), "m")


def size_beside(path: Path, width: int) -> tuple[Calibration, str]:
    """Return the pixel size from a text file beside an image, and the name of its maker.

    Parameters
    ----------
    path : Path
        Of the image.
    width : int
        Columns of the image, px. A text of another width is that of the image before it was scaled.
    """
    for maker, suffixes, read in _MAKERS:
        for suffix in suffixes:
            size, unit = read(_text_beside(path, suffix), width)
            if size is not None:
                return (size, unit), f"the text file of the {maker} microscope"
    return UNKNOWN, ""


def entry(text: str, name: str, separator: str = r"\s*=\s*") -> float | None:
    """Return the number of a line such as 'name = 1.5'; None without."""
    found = re.search(rf"(?m)^\s*{name}{separator}{NUMBER}", text)
    return None if found is None else number(found[1])


def _jeol(text: str, width: int) -> Calibration:
    """Return the size from the length of the scale bar, in px and in µm or nm."""
    bar = entry(text, r"\$\$SM_MICRON_BAR", separator=r"\s+")
    marker = re.search(rf"\$\$SM_MICRON_MARKER\s+{NUMBER}\s*(\S+)", text)
    full_width = entry(text, r"\$CM_FULL_SIZE", separator=r"\s+")
    if not bar or marker is None or not (length := number(marker[1])):
        return UNKNOWN
    if full_width is not None and full_width != width:
        return UNKNOWN
    return in_nm_or_um(length / bar, length / bar, marker[2])


def _hitachi(text: str, width: int) -> Calibration:
    full_width = re.search(r"(?m)^\s*DataSize\s*=\s*(\d+)\s*x", text)
    if "[SemImageFile]" not in text or (full_width and int(full_width[1]) != width):
        return UNKNOWN
    size = entry(text, "PixelSize")
    return in_nm_or_um(size, size, "nm")


def _tescan_beside(text: str, width: int) -> Calibration:
    return tescan(text) if "PixelSizeX" in text else UNKNOWN


_MAKERS: tuple[tuple[str, tuple[str, ...], Callable[[str, int], Calibration]], ...] = (
    ("JEOL", (".txt",), _jeol),
    ("Hitachi", (".txt",), _hitachi),
    ("TESCAN", (".hdr", "-tif.hdr", "-png.hdr", "-jpg.hdr", "-bmp.hdr"), _tescan_beside),
)
"""Name of the maker, how the file's name goes on after the image's, and what reads its text."""


def _text_beside(path: Path, suffix: str) -> str:
    """Return the text of a file beside an image, of the same name; empty without."""
    for ending in (suffix, suffix.upper()):
        try:
            beside = path.with_name(path.stem + ending)
            if beside.stat().st_size <= _MOST_BYTES:
                return _decoded(beside.read_bytes())
        except OSError:
            continue
    return ""


def _decoded(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")
