"""The pixel size in what other readers put into `layer.metadata`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from napari_samstar.core.image.units import UNKNOWN, Calibration, in_nm_or_um, in_one_unit

_SIZES = ("pixel_size", "pixelsize", "pixel_sizes", "voxel_size", "spacing")
_UNITS = ("unit", "units", "pixel_size_unit", "spacing_unit")


def metadata_size(metadata: Mapping[Any, Any]) -> Calibration:
    """Return the pixel size that the metadata of a layer give; `UNKNOWN` without.

    Known are OME's names (as keys, or as objects of ome-types), the images of bioio and
    aicsimageio, and a key such as "pixel_size" beside one such as "unit".
    """
    parts = [metadata, *(one for one in metadata.values() if one is not None)]
    for part in parts:
        for read in (_ome_keys, _plain_keys) if isinstance(part, Mapping) else (_ome, _bioio):
            try:
                size, unit = read(part)
            except Exception:  # objects of other packages may raise anything
                continue
            if size is not None:
                return size, unit
    return UNKNOWN


def _ome_keys(part: Any) -> Calibration:
    col, col_unit = part.get("PhysicalSizeX"), part.get("PhysicalSizeXUnit", "µm")
    row, row_unit = part.get("PhysicalSizeY", col), part.get("PhysicalSizeYUnit", col_unit)
    return in_one_unit(row, str(row_unit), col, str(col_unit))


def _plain_keys(part: Any) -> Calibration:
    keys = {str(key).lower(): value for key, value in part.items()}
    size = next((keys[name] for name in _SIZES if name in keys), None)
    unit = next((keys[name] for name in _UNITS if name in keys), "")
    row, col = _last_two(size)
    row_unit, col_unit = _last_two(unit)
    return in_one_unit(row, str(row_unit), col, str(col_unit))


def _last_two(value: Any) -> tuple[Any, Any]:
    """Return the last two of a sequence; one value for both."""
    if isinstance(value, str) or not (isinstance(value, Sequence) or hasattr(value, "shape")):
        return value, value
    return (value[-2], value[-1]) if len(value) > 1 else (value[0], value[0])


def _ome(part: Any) -> Calibration:
    pixels = part.images[0].pixels
    units = [getattr(pixels, f"physical_size_{axis}_unit") for axis in "yx"]
    row_unit, col_unit = (str(getattr(unit, "value", unit)) for unit in units)
    return in_one_unit(pixels.physical_size_y, row_unit, pixels.physical_size_x, col_unit)


def _bioio(part: Any) -> Calibration:
    sizes = part.physical_pixel_sizes
    return in_nm_or_um(sizes.Y, sizes.X, "µm")
