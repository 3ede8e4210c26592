"""Units in every spelling; numbers with decimal commas."""

from __future__ import annotations

import numpy as np
import pytest

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.loaded import LoadedImage
from napari_samstar.core.image.micrograph import Micrograph
from napari_samstar.core.image.units import (
    UNKNOWN,
    factor_to_shown,
    in_nm_or_um,
    in_one_unit,
    in_seconds,
    length_in,
    metres_per,
    number,
)

ANGSTROM = [
    "Å", "\u212b", "A\u030a", "A", "å", "Angstrom", "angstroms", "ANGSTROM", "Ångström", "ångström",
    "Ångstrom", "Angström", "Angstroem", "\\u00C5", "\\u212B", "Å/px", "Ã\x85", "&#197;",
]  # fmt: skip
MICROMETRE = [
    "µm", "\u03bcm", "um", "UM", "Âµm", "Î¼m", "\\u00B5m", "\\u03bcm", "&micro;m", "&#181;m", "㎛",
    "micron", "microns", "Micron", "micrometer", "micrometers", "micrometre", "Micrometres", "µm\0",
    " µm ", "[µm]", "µm.", "µ m", "um/px", "µm/pixel", "microns per pixel", "µ", "u", "mikrometer",
]  # fmt: skip
OTHERS = {
    "nm": 1e-9, "NM": 1e-9, "nanometer": 1e-9, "Nanometres": 1e-9, "㎚": 1e-9, "nm/pix": 1e-9,
    "pm": 1e-12, "picometre": 1e-12, "mm": 1e-3, "millimeters": 1e-3, "cm": 1e-2, "inch": 0.0254,
    "inches": 0.0254, "in": 0.0254, "in.": 0.0254, "m": 1.0, "metres": 1.0, "Meter": 1.0,
}  # fmt: skip
NONE = ["", "px", "pixel", "pixels", "None", "unknown", "s", "kg", "a.u.", "1/nm", "nm^2", "nm²",
        "10 nm", "1e-6 m", "3", "\ufffdm", "?m", "µ/s"]  # fmt: skip


@pytest.mark.parametrize(
    ("unit", "metres"),
    [*((u, 1e-10) for u in ANGSTROM), *((u, 1e-6) for u in MICROMETRE), *OTHERS.items()],
)
def test_a_unit_of_length_has_many_spellings(unit: str, metres: float) -> None:
    assert metres_per(unit) == pytest.approx(metres, rel=1e-12)


@pytest.mark.parametrize("unit", NONE)
def test_what_is_no_unit_of_length_is_none(unit: str) -> None:
    assert metres_per(unit) is None
    assert in_nm_or_um(1.0, 1.0, unit) == UNKNOWN
    assert length_in(1.0, unit, "µm") is None


@pytest.mark.parametrize(
    ("unit", "seconds"),
    [("s", 1), ("sec", 1), ("Seconds", 1), ("ms", 1e-3), ("msec", 1e-3), ("µs", 1e-6),
     ("\u03bcs", 1e-6), ("min", 60), ("h", 3600), ("m", None), ("", None), ("nm", None)],
)  # fmt: skip
def test_times(unit: str, seconds: float | None) -> None:
    assert in_seconds(2, unit) == (None if seconds is None else pytest.approx(2 * seconds))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2.5, 2.5), (3, 3.0), (np.float32(0.5), 0.5), ("2.5", 2.5), ("2,5", 2.5),
        (" 2,5e-9 ", 2.5e-9),
        (b"2,5\0", 2.5), ("+1", 1.0), ("1,234.5", None), ("1.234,5", None), ("1,2,3", None),
        ("1_5", None), ("", None), (None, None), ("x", None), ((1, 2), None),
    ],
)  # fmt: skip
def test_a_number_may_have_a_decimal_comma(value: object, expected: float | None) -> None:
    assert number(value) == expected


@pytest.mark.parametrize("size", [0, -1, float("nan"), float("inf"), "0,0", None, ""])
def test_sizes_that_are_not_positive_are_unknown(size: object) -> None:
    assert in_nm_or_um(size, 1.0, "nm") == in_nm_or_um(1.0, size, "nm") == UNKNOWN
    assert length_in(size, "nm", "nm") is None


def test_lengths_are_shown_in_nm_or_um() -> None:
    assert in_nm_or_um("0,32", 0.32, "nm") == ((0.32, 0.32), "nm")
    assert in_nm_or_um(20, 10, "Å") == ((2.0, 1.0), "nm")
    assert in_nm_or_um(2e-9, 1e-9, "m") == (pytest.approx((2.0, 1.0)), "nm")
    assert in_nm_or_um(2e-6, 1e-6, "m") == (pytest.approx((2.0, 1.0)), "µm")
    assert in_nm_or_um(0.002, 0.001, "mm") == ((2.0, 1.0), "µm")
    assert in_one_unit(300, "nm", 0.3, "µm") == ((0.3, 0.3), "µm")


def test_images_made_in_python_are_in_nm_or_um() -> None:
    image = LoadedImage(np.zeros((9, 9), np.uint8), pixel_size=(20, 10), unit="Å", z_step=50)
    assert (image.pixel_size, image.unit, image.z_step) == ((2.0, 1.0), "nm", 5.0)
    shown = Micrograph(np.zeros((9, 9, 3), np.uint8), (0.002, 0.001), "mm")
    assert (shown.pixel_size, shown.unit) == ((2.0, 1.0), "µm")
    assert factor_to_shown("pixels") == (1.0, "px")
    with pytest.raises(UserError, match="'parsec\\?' is not a unit of length: give px, nm"):
        LoadedImage(np.zeros((9, 9)), pixel_size=(1, 1), unit="parsec?")
    with pytest.raises(UserError, match="'kg' is not a unit of length"):
        Micrograph(np.zeros((9, 9, 3), np.uint8), (1, 1), "kg")
