"""World coordinates: the viewer's and those of layers, which may have other units.

napari gives cursor and slider positions in the viewer's units, the smallest among its layers;
transforms of a layer are in the layer's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samstar.core.errors import UserError

if TYPE_CHECKING:
    import napari
    from numpy.typing import NDArray

Units = Sequence[Any]
"""One pint unit for each axis."""


def from_viewer(viewer: napari.Viewer, position: Any, units: Units) -> NDArray[np.float64]:
    """Return a position of the viewer in the units of a layer, for the layer's axes."""
    return converted(position, _units_of(viewer, len(units)), units)


def to_viewer(viewer: napari.Viewer, position: Any, units: Units) -> NDArray[np.float64]:
    """Return a position in a layer's units in those of the viewer, for the layer's axes."""
    return converted(position, units, _units_of(viewer, len(units)))


def converted(position: Any, units: Units | None, wanted: Units | None) -> NDArray[np.float64]:
    """Return the last coordinates of a position in other units; as they are where none are known.

    Units that cannot be converted, such as pixels to nm, change nothing.
    """
    n = len(wanted if wanted is not None else units or ())
    values: NDArray[np.float64] = np.asarray(position, dtype=np.float64)
    values = values[-n:] if n else values
    if units is None or wanted is None or len(units) < n:
        return values
    factors = [_factor(a, b) for a, b in zip(units[-n:], wanted, strict=True)]
    return np.asarray(values * np.array(factors))


def check_shown(viewer: napari.Viewer, ndim: int) -> None:
    """Raise UserError where the viewer does not show a plane of rows and columns.

    Parameters
    ----------
    ndim : int
        Number of axes of the layer, colours not counted; rows and columns are the last two.
    """
    dims = viewer.dims
    shown = {axis - (dims.ndim - ndim) for axis in dims.displayed}
    if dims.ndisplay == 3 and ndim > 2:
        raise UserError(
            "The viewer shows the stack in 3D: switch it to 2D, then one plane is on show."
        )
    if dims.ndisplay == 2 and shown != {ndim - 2, ndim - 1}:
        raise UserError(
            "The viewer shows other axes than rows and columns: press 'Change order of the visible "
            "axes' (Ctrl+E) until a plane of the image is on show."
        )


def check_clickable(viewer: napari.Viewer, ndim: int) -> None:
    """Raise UserError where a click on the canvas is at no pixel of a plane; see `check_shown`."""
    if viewer.dims.ndisplay == 3:
        raise UserError("The viewer is in 3D: switch it to 2D to click on the image.")
    check_shown(viewer, ndim)


def _units_of(viewer: napari.Viewer, n: int) -> Units | None:
    units = getattr(viewer.dims, "units", None)  # new in napari 0.9; before, none were converted
    return None if units is None or len(units) < n else units[-n:]


def _factor(unit: Any, wanted: Any) -> float:
    if unit == wanted or unit.dimensionality != wanted.dimensionality:
        return 1.0
    return float((1 * unit).to(wanted).magnitude)
