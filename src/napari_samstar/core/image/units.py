"""Units of length and time as files and people write them; pint knows their sizes."""

from __future__ import annotations

import contextlib
import html
import math
import re
import unicodedata
from functools import cache
from typing import Any, TypeAlias

from napari_samstar.core.errors import UserError

Calibration: TypeAlias = tuple[tuple[float, float] | None, str]
"""((row, col) size of a pixel, "nm" or "µm"), or (None, "px") if it is not known."""

UNKNOWN: Calibration = (None, "px")

NM, UM = "nm", "µm"

_NM_BELOW = 1e-7  # m; shorter lengths in units that are neither are given in nm

_METRES = {NM: 1e-9, UM: 1e-6}

_SPELLINGS = {
    "a": "angstrom",  # in pint a year, or an ampere
    "å": "angstrom",
    "mikrometer": "µm",
    "µ": "µm",
    "u": "µm",
    "mkm": "µm",
    "msec": "ms",
}
"""Spellings that pint does not know, in lower case, or knows as something else."""

_ESCAPED = re.compile(r"\\+u([0-9a-fA-F]{4})")  # as ImageJ and Java write letters
_PER_PIXEL = re.compile(r"\s*(/|per)\s*(px|pixels?|pix)$")
_ANGSTROM = re.compile(r"[aå]ngstr[oö]e?ms?$")
_ONE_WORD = re.compile(r"[a-zµ]+")  # what pint is asked for; it would drop other characters


def number(value: Any) -> float | None:
    """Return a number of a file's metadata; a single comma is a decimal one.

    None if it is no number, or one of those that may be read in two ways, such as "1,234.5".
    """
    if isinstance(value, str | bytes):
        text = (value.decode("latin-1") if isinstance(value, bytes) else value).strip("\0 \t\r\n")
        if text.count(",") == 1 and "." not in text:
            text = text.replace(",", ".")
        value = text.replace("_", "?")  # Python would take 1_5 for 15
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def in_nm_or_um(row: Any, col: Any, unit: str) -> Calibration:
    """Convert a pixel size (row, col) to "nm" or "µm"; `UNKNOWN` if it is invalid.

    Lengths in nm, pm and Å become nm, longer units become µm; of metres, short lengths become nm.
    """
    metres, size = metres_per(unit), (_positive(row), _positive(col))
    if metres is None or size[0] is None or size[1] is None:
        return UNKNOWN
    longest = max(size[0], size[1]) * metres
    in_nm = metres <= _METRES[NM] or (metres >= 0.1 and longest < _NM_BELOW)
    name = NM if in_nm else UM
    factor = _ratio(metres, _METRES[name])
    return (size[0] * factor, size[1] * factor), name


def length_in(length: Any, unit: str, wanted: str) -> float | None:
    """Convert a length to "nm" or "µm"; None if it is invalid or one of the units not known."""
    metres, value = metres_per(unit), _positive(length)
    if metres is None or value is None or wanted not in _METRES:
        return None
    return value * _ratio(metres, _METRES[wanted])


def in_seconds(time: Any, unit: str) -> float | None:
    """Convert a time to s; None if it is not positive or its unit not known."""
    factor, value = _size_of(normalised(unit), "[time]"), _positive(time)
    return None if factor is None or value is None else value * factor


def _positive(value: Any) -> float | None:
    """Return a positive finite number; None for anything else."""
    found = number(value)
    return found if found is not None and math.isfinite(found) and found > 0 else None


def in_one_unit(row: Any, row_unit: str, col: Any, col_unit: str) -> Calibration:
    """Convert a pixel size whose rows and columns may have different units."""
    rows, first = in_nm_or_um(row, row, row_unit)
    cols, second = in_nm_or_um(col, col, col_unit)
    if rows is None or cols is None:
        return UNKNOWN
    if first == second:
        return (rows[0], cols[0]), first
    both = length_in(row, row_unit, UM), length_in(col, col_unit, UM)
    assert both[0] is not None
    assert both[1] is not None
    return (both[0], both[1]), UM


def factor_to_shown(unit: str) -> tuple[float, str]:
    """Return how many "nm" or "µm" a unit of length has, and which of the two; px stay px.

    Raises
    ------
    UserError
        Where it is no unit of length.
    """
    if unit in (*_METRES, "px"):
        return 1.0, unit
    if normalised(unit) in ("px", "pixel", "pixels", ""):
        return 1.0, "px"
    factor, shown = in_nm_or_um(1, 1, unit)
    if factor is None:
        raise UserError(f"{unit!r} is not a unit of length: give px, nm, µm (or um), Å or mm.")
    return factor[0], shown


def metres_per(unit: str) -> float | None:
    """Return how many metres a unit of length has, however it is spelled; None if it is not one."""
    return _size_of(normalised(unit), "[length]")


def normalised(unit: str) -> str:
    """Return a unit in one spelling: lower case, one code point for µ and Å, without NULs.

    Escapes of ImageJ, Java and HTML are undone; "µm/pixel" is "µm".
    """
    text = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), str(unit).replace("\x00", ""))
    text = (
        unicodedata.normalize("NFKC", html.unescape(_decoded(text)))
        .strip(" \t\r\n.\"'[]()")
        .lower()
    )
    text = text.replace("\u03bc", "µ")  # the Greek letter
    text = _PER_PIXEL.sub("", text).replace("µ ", "µ").replace("mètre", "meter")
    return "angstrom" if _ANGSTROM.match(text) else _SPELLINGS.get(text, text)


def _decoded(text: str) -> str:
    """Return a text whose UTF-8 was read as Latin-1 or Windows-1252, such as "Âµm", mended."""
    for encoding in ("latin-1", "cp1252"):
        with contextlib.suppress(UnicodeError):
            return text.encode(encoding).decode("utf-8")
    return text


@cache
def _size_of(unit: str, kind: str) -> float | None:
    """Return a unit's size in metres or seconds; None if it is of another kind."""
    if kind == "[length]":
        known = {"nm": 1e-9, "µm": 1e-6, "um": 1e-6, "m": 1.0, "px": None, "pixel": None, "": None}
        if unit in known:  # without pint, whose import takes 0.8 s
            return known[unit]
    if not _ONE_WORD.fullmatch(unit):
        return None
    import pint

    registry: Any = pint.get_application_registry()  # type: ignore[no-untyped-call]
    try:
        found = registry.parse_units(unit)
        if dict(found.dimensionality) != {kind: 1}:
            return None
        base = registry.meter if kind == "[length]" else registry.second
        return float((1 * found).to(base).magnitude)
    except Exception:  # pint raises many kinds for what is no unit
        return None


def _ratio(unit: float, other: float) -> float:
    """Return how many of another unit a unit has: powers of ten stay exact."""
    ratio = unit / other
    power = 10.0 ** round(math.log10(ratio))
    return power if math.isclose(ratio, power, rel_tol=1e-12) else ratio
