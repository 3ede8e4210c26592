"""Resolutions of paper and screens, which say nothing of the size of a pixel."""

from __future__ import annotations

from napari_samstar.core.image.units import length_in, metres_per

COARSEST_UM = 10.0
"""Resolutions in inches or centimetres that are coarser are those of paper, such as 300 dpi."""

_UM_PER_INCH = 25400.0
_FEWEST_DPI = 2.0  # "1 dot per inch" is what writers put in for want of anything


def is_paper_unit(unit: str) -> bool:
    """Return whether a unit is an inch or a centimetre, the units of printing."""
    return metres_per(unit) in (metres_per("inch"), metres_per("cm"))


def is_paper(size: tuple[float, float] | None, unit: str) -> bool:
    """Return whether a pixel is so large that its size is that of a dot on paper.

    Parameters
    ----------
    size : tuple of float or None
        (row, col) in `unit`.
    unit : str
        "nm" or "µm".
    """
    in_um = None if size is None else length_in(max(size), unit, "µm")
    return in_um is not None and in_um > COARSEST_UM


def paper_note(size: tuple[float, float] | None, unit: str) -> tuple[str, ...]:
    """Return a note that a resolution was not used; none where it says nothing at all."""
    in_um = None if size is None else length_in(size[1], unit, "µm")
    if in_um is None or not is_paper(size, unit) or _UM_PER_INCH / in_um < _FEWEST_DPI:
        return ()
    dots = _UM_PER_INCH / in_um
    return (f"Its resolution of {dots:.0f} dpi is for printing: the pixel size is not known.",)
