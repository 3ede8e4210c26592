"""From a layer's array to the RGB image that SAM sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.data_bar import find_data_bar, stated_bar
from napari_samstar.core.image.large import is_large, open_large
from napari_samstar.core.image.levels import blend_of, intensities_of
from napari_samstar.core.image.mapping import ImageMapping
from napari_samstar.core.image.micrograph import Micrograph
from napari_samstar.core.image.planes import find_plane
from napari_samstar.core.image.region import rectangle

if TYPE_CHECKING:
    from napari_samstar.core.image.data_bar import DataBar
    from napari_samstar.core.image.levels import Bytes
    from napari_samstar.core.image.planes import Array, FoundPlane, PlaneRef
    from napari_samstar.core.image.region import Region


def prepare(
    array: Any,
    mapping: ImageMapping | None = None,
    *,
    rgb: bool | None = None,
    axes: str = "",
    pixel_size: tuple[float, float] | None = None,
    unit: str = "px",
    name: str = "image",
    bar_rows: int | None = None,
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
    bar_rows : int, optional
        Rows of the data bar at the bottom, where the file says so. Else it is found by its looks.

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
    if fault := mapping.region.fault(found.shape):
        raise UserError(fault)
    if is_large(found):
        bar = _bar(mapping, found.shape, bar_rows, found.parts[0].values)
        region = _without_bar(mapping.region, bar, found.shape, notes)
        large = open_large(found, mapping, notes)
        return Micrograph(large, pixel_size, unit, name, tuple(notes), mapping, region)
    planes = [part.values() for part in found.parts]
    bar = _bar(mapping, found.shape, bar_rows, lambda rows: planes[0][rows])
    region = _without_bar(mapping.region, bar, found.shape, notes)
    values = _whole(found, planes, mapping, region, notes)
    return Micrograph(values, pixel_size, unit, name, tuple(notes), mapping, region)


def _bar(
    mapping: ImageMapping,
    shape: tuple[int, int],
    bar_rows: int | None,
    read: Callable[[slice], Array],
) -> DataBar | None:
    """Return the data bar that is left out: the one that the file states, else by its looks."""
    if mapping.data_bar == "keep":
        return None
    return stated_bar(shape[0], bar_rows) or find_data_bar(shape, read)


def _without_bar(
    region: Region, bar: DataBar | None, shape: tuple[int, int], notes: list[str]
) -> Region:
    if bar is None:
        return region
    notes.append(bar.note)
    return region.without(rectangle(bar.row0, 0, bar.row1, shape[1]))


def _whole(
    found: FoundPlane,
    planes: list[Array],
    mapping: ImageMapping,
    region: Region,
    notes: list[str],
) -> Bytes:
    """Return the plane as uint8 (H, W, 3), read-only."""
    _note_transparency(found.parts[0], notes)
    inside = None if region.is_whole else region.mask(found.shape)
    measured = [intensities_of(plane, mapping, notes, inside) for plane in planes]
    blend = blend_of(measured, mapping, notes)
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
