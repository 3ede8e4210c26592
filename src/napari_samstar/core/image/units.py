"""Units of length and time as files and people write them; pint knows their sizes."""

from __future__ import annotations

import math
import unicodedata
from functools import cache
from typing import Any, TypeAlias

Calibration: TypeAlias = tuple[tuple[float, float] | None, str]
"""((row, col) size of a pixel, "nm" or "µm"), or (None, "px") if it is not known."""

UNKNOWN: Calibration = (None, "px")

NM, UM = "nm", "µm"

_NM_BELOW = 1e-7  # m; shorter lengths in units that are neither are given in nm

_METRES = {NM: 1e-9, UM: 1e-6}

_SPELLINGS = {
    "a": "angstrom",  # in pint a year, or an ampere
    "å": "angstrom",
    "\\u00b5m": "µm",  # as ImageJ writes it
    "\\u00c5": "angstrom",
    "âµm": "µm",  # UTF-8 read as Latin-1
    "mikrometer": "µm",
    "µ": "µm",
    "u": "µm",
    "msec": "ms",
}
"""Spellings that pint does not know, in lower case, or knows as something else."""


def in_nm_or_um(row: Any, col: Any, unit: str) -> Calibration:
    """Convert a pixel size (row, col) to "nm" or "µm"; `UNKNOWN` if it is invalid.

    Lengths in nm, pm and Å become nm, longer units become µm; of metres, short lengths become nm.
    """
    metres = metres_per(unit)
    try:
        size = float(row), float(col)
    except (TypeError, ValueError):
        return UNKNOWN
    if metres is None or not all(math.isfinite(v) and v > 0 for v in size):
        return UNKNOWN
    longest = max(size) * metres
    in_nm = metres <= _METRES[NM] or (metres >= 0.1 and longest < _NM_BELOW)
    name = NM if in_nm else UM
    factor = _ratio(metres, _METRES[name])
    return (size[0] * factor, size[1] * factor), name


def length_in(length: Any, unit: str, wanted: str) -> float | None:
    """Convert a length to "nm" or "µm"; None if it is invalid or one of the units not known."""
    metres = metres_per(unit)
    try:
        value = float(length)
    except (TypeError, ValueError):
        return None
    if metres is None or wanted not in _METRES or not (math.isfinite(value) and value > 0):
        return None
    return value * _ratio(metres, _METRES[wanted])


def in_seconds(time: Any, unit: str) -> float | None:
    """Convert a time to s; None if it is not positive or its unit not known."""
    factor = _size_of(normalised(unit), "[time]")
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
    if first == second:
        return (rows[0], cols[0]), first
    both = length_in(row, row_unit, UM), length_in(col, col_unit, UM)
    assert both[0] is not None
    assert both[1] is not None
    return (both[0], both[1]), UM


def metres_per(unit: str) -> float | None:
    """Return how many metres a unit of length has, however it is spelled; None if it is not one."""
    return _size_of(normalised(unit), "[length]")


def normalised(unit: str) -> str:
    """Return a unit in one spelling: lower case, one code point for µ and Å, without NULs."""
    text = unicodedata.normalize("NFKC", str(unit).replace("\x00", "")).strip().lower()
    text = text.replace("\u03bc", "µ")  # the Greek letter
    return _SPELLINGS.get(text, text)


@cache
def _size_of(unit: str, kind: str) -> float | None:
    """Return a unit's size in metres or seconds; None if it is of another kind."""
    if kind == "[length]":
        known = {"nm": 1e-9, "µm": 1e-6, "um": 1e-6, "m": 1.0, "px": None, "pixel": None, "": None}
        if unit in known:  # without pint, whose import takes 0.8 s
            return known[unit]
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
