"""From a layer's array to the RGB image that SAM sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.large import is_large, open_large
from napari_samstar.core.image.levels import blend_of, intensities_of
from napari_samstar.core.image.mapping import ImageMapping
from napari_samstar.core.image.micrograph import Micrograph
from napari_samstar.core.image.planes import find_plane

if TYPE_CHECKING:
    from napari_samstar.core.image.levels import Bytes
    from napari_samstar.core.image.planes import FoundPlane, PlaneRef


def prepare(
    array: Any,
    mapping: ImageMapping | None = None,
    *,
    rgb: bool | None = None,
    axes: str = "",
    pixel_size: tuple[float, float] | None = None,
    unit: str = "px",
    name: str = "image",
) -> Micrograph:
    """Turn a layer's data into the image that SAM sees.

    Only the planes that `mapping` asks for are read, which matters for dask, zarr and files.

    Parameters
    ----------
    array : array or sequence of arrays
        NumPy, dask, zarr or the like, 2 to 7 axes ending in (row, col), or (row, col, 3 or 4) for
        colour; bool, any integer or float. A sequence of arrays is a multiscale image, finest
        first.
    mapping : ImageMapping, optional
        Default ``Mapping()``: middle plane, first channel, percentiles 0.1 to 99.9.
    rgb : bool, optional
        Whether the last axis is colour. None: it is where the array is uint8 with a last axis of
        3 or 4 after at least two others.
    axes : str
        One letter per axis, see `LoadedImage.axes`; empty where they are not known.
    pixel_size, unit, name
        Passed on to the `Micrograph`.

    Returns
    -------
    Micrograph
        NaN is shown black (also when inverted), plus infinity as the brightest and minus infinity
        as the darkest value; both are counted in its notes. A plane above `large.LARGE_PIXELS` is
        read window by window.

    Raises
    ------
    UserError
        For data that is empty, constant, without finite values, complex, not numeric, with fewer
        than two or more than seven axes or under 8 x 8 pixels, or a plane that does not exist.
    """
    mapping = mapping or ImageMapping()
    found = find_plane(array, mapping, rgb, axes)
    notes = list(found.notes)
    if is_large(found):
        pixels = open_large(found, mapping, notes)
        return Micrograph(pixels, pixel_size, unit, name, tuple(notes), mapping)
    values = _whole(found, mapping, notes)
    return Micrograph(values, pixel_size, unit, name, tuple(notes), mapping)


def _whole(found: FoundPlane, mapping: ImageMapping, notes: list[str]) -> Bytes:
    """Return the plane as uint8 (H, W, 3), read-only."""
    planes = [part.values() for part in found.parts]
    _note_transparency(found.parts[0], notes)
    blend = blend_of([intensities_of(plane, mapping, notes) for plane in planes], mapping, notes)
    values = np.ascontiguousarray(blend.to_rgb([planes[k] for k in blend.used]))
    if (values == values[0, 0]).all():
        levels = blend.levels[0]
        raise UserError(
            f"Every pixel came out the same between {levels.black:g} and {levels.white:g}: "
            "use the 'percentile' stretch, or choose another plane or channel."
        )
    values.flags.writeable = False
    return values


def _note_transparency(part: PlaneRef, notes: list[str]) -> None:
    if part.colour and part.sample is None and part.array.shape[-1] == 4:
        alpha = np.asarray(part.array[part.index])[..., 3]
        if alpha.min() != alpha.max():
            notes.append("The transparency of the image was ignored.")
