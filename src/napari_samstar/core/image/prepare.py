"""From a layer's array to the RGB image that SAM sees."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.large import is_large, open_large
from napari_samstar.core.image.levels import Intensities, levels_of, not_finite_notes
from napari_samstar.core.image.mapping import ImageMapping
from napari_samstar.core.image.micrograph import Micrograph
from napari_samstar.core.image.planes import Array, find_plane, take_plane


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
        NumPy, dask, zarr or the like, 2 to 5 axes ending in (row, col), or (row, col, 3 or 4) for
        colour; bool, any integer or float. A sequence of arrays is a multiscale image, finest
        first.
    mapping : ImageMapping, optional
        Default ``Mapping()``: middle plane, percentiles 0.1 to 99.9.
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
        than two or more than five axes or under 8 x 8 pixels, or a plane that does not exist.
    """
    mapping = mapping or ImageMapping()
    if mapping.projection == "none":
        found = find_plane(array, mapping, rgb, axes)
        if is_large(found):
            pixels, notes = open_large(found, mapping)
            return Micrograph(pixels, pixel_size, unit, name, tuple(notes), mapping)
    plane, colour, notes = take_plane(array, mapping, rgb, axes)
    levels = levels_of(_intensities(plane, mapping, notes), mapping, notes)
    values = levels.to_bytes(plane)
    if not colour:
        values = np.repeat(values[..., np.newaxis], 3, axis=2)
    if (values == values[0, 0]).all():
        raise UserError(
            f"Every pixel came out the same between {levels.black:g} and {levels.white:g}: "
            "use the 'percentile' stretch, or choose another plane or channel."
        )
    values.flags.writeable = False
    return Micrograph(values, pixel_size, unit, name, tuple(notes), mapping)


def _intensities(plane: Array, mapping: ImageMapping, notes: list[str]) -> Intensities:
    finite = plane
    if plane.dtype.kind == "f" and not np.isfinite(plane).all():
        finite = plane[np.isfinite(plane)]
        if not finite.size:
            raise UserError(
                "The plane holds no finite value (only NaN or infinity): "
                "choose another plane or channel."
            )
        notes += not_finite_notes(int(np.isnan(plane).sum()), int(np.isinf(plane).sum()))
    low, high = 0.0, 1.0
    if plane.dtype.kind != "b":
        with np.errstate(over="ignore", invalid="ignore"):
            low, high = np.percentile(finite, [mapping.low, mapping.high]).tolist()
    return Intensities(plane.dtype, float(finite.min()), float(finite.max()), low, high)
