"""OME-Zarr images (versions 0.4 and 0.5) and plain zarr arrays, read window by window."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.loaded import LoadedImage
from napari_samstar.core.image.readers.lazy import LazyArray
from napari_samstar.core.image.readers.ome_xml import Channels
from napari_samstar.core.image.units import (
    UNKNOWN,
    in_one_unit,
    in_seconds,
    length_in,
)

if TYPE_CHECKING:
    from napari_samstar.core.image.units import Calibration

_MARKERS = ("zarr.json", ".zgroup", ".zarray")
_LETTERS = {"time": "T", "channel": "C"}
_READ = "versions 0.4 and 0.5 are read: convert it, for example with bioformats2raw"


def is_zarr(path: Path) -> bool:
    """Return whether a folder is a zarr group or array."""
    return any((path / name).is_file() for name in _MARKERS)


@dataclass(frozen=True)
class ZarrSource:
    """One array of a zarr folder, as `LazyArray` opens it.

    Attributes
    ----------
    path : Path
        The folder.
    key : str
        Path of the array in it; empty where the folder is the array.
    """

    path: Path
    key: str = ""

    def open(self) -> tuple[Any, Callable[[], None]]:
        """Return the zarr array; there is nothing to close."""
        node = open_node(self.path, self.key)
        if not hasattr(node, "shape"):
            raise ValueError(f"'{self.key}' is not an array")
        return node, _nothing


def _nothing() -> None:
    """Close nothing: each chunk is a file, or a part of one, opened for itself."""


def open_node(path: Path, key: str = "") -> Any:
    """Return the `zarr.Group` or `zarr.Array` at `key` in a folder, opened for reading."""
    import zarr  # 0.3 s, needed by few images
    from zarr.storage import LocalStore

    return zarr.open(LocalStore(path, read_only=True), path=key, mode="r")


class OmeZarrReader:
    """Reads OME-Zarr images and plain zarr arrays; all of them lazily.

    The array of a multiscale image is a list of `LazyArray`, finest first.
    """

    name = "ome_zarr"
    kinds = "OME-Zarr"
    suffixes: tuple[str, ...] = (".zarr",)

    def supports(self, path: Path, head: bytes) -> bool:
        """Return whether the path is a folder that is a zarr group or array."""
        return path.is_dir() and is_zarr(path)

    def read(self, path: Path, series: int | None = None) -> LoadedImage:
        """See `Reader.read`; by default the first image of several is read."""
        folder = path.absolute()
        node = _opened(folder)
        name = folder.name.removesuffix(".zarr").removesuffix(".ome")
        if hasattr(node, "shape"):
            _check_alone(folder, series)
            array = LazyArray(ZarrSource(folder), node.shape, node.dtype)
            return LoadedImage(array, axes=_plain_axes(node), name=name, path=path)
        notes: list[str] = []
        group, key, ome = _image_group(folder, node, notes, series)
        several = _images_of(folder) if key else []
        return _multiscale_image(folder, key, group, ome, notes).replace(
            name=name,
            path=path,
            series=tuple(several) if len(several) > 1 else (),
            series_index=several.index(key) if key in several else 0,
        )


def _opened(folder: Path) -> Any:
    try:
        return open_node(folder)
    except Exception as error:  # zarr raises many kinds
        raise _damaged(folder, error) from error


def _damaged(folder: Path, error: object) -> UserError:
    reason = " ".join(str(error).split())[:200]
    return UserError(
        f"{folder.name} is damaged or not a complete OME-Zarr image ({reason}): get a fresh copy."
    )


def _plain_axes(array: Any) -> str:
    """Return the letters of a plain array whose axes are all named t, c, z, y or x."""
    names = getattr(array.metadata, "dimension_names", None) or ()
    letters = "".join(str(name).upper() for name in names)
    known = len(letters) == array.ndim == len(set(letters)) and set(letters) <= set("TCZYX")
    return letters if known and letters.endswith("YX") else ""


def _image_group(
    folder: Path, group: Any, notes: list[str], series: int | None
) -> tuple[Any, str, Mapping[str, Any]]:
    """Return the group of an image, its path in the folder and its OME metadata.

    Raises
    ------
    UserError
        For a plate, a well, a group of labels or a group of anything else; it names an image that
        can be given instead.
    """
    attributes = group.attrs.asdict()
    ome = attributes.get("ome", attributes)
    if not isinstance(ome, Mapping):
        raise _damaged(folder, "its metadata is not an object")
    if ome.get("multiscales"):
        _check_alone(folder, series)
        return group, "", ome
    if "bioformats2raw.layout" in ome:
        return _one_of_several(folder, group, notes, series)
    inside = _first_inside(ome)
    if inside:
        raise UserError(f"{folder.name} holds several images: give one, such as {folder / inside}.")
    parts = _parts(folder)
    if parts:
        raise UserError(
            f"{folder.name} has no OME metadata: give one part of it, such as {folder / parts[0]}."
        )
    raise UserError(f"{folder.name} is a zarr group without an image: choose another folder.")


def _one_of_several(
    folder: Path, group: Any, notes: list[str], series: int | None
) -> tuple[Any, str, Mapping[str, Any]]:
    """Return an image of a folder written by bioformats2raw, by default the first."""
    images = _images_of(folder)
    if not images:
        raise _damaged(folder, "it has no image '0'")
    if series is not None and not 0 <= series < len(images):
        raise UserError(
            f"There is no image {series} in {folder.name}: choose one from 0 to {len(images) - 1}."
        )
    if len(images) > 1 and series is None:
        notes.append(f"The first of {len(images)} images in the folder was read.")
    name = images[series or 0]
    found = group[name]
    attributes = found.attrs.asdict()
    ome = attributes.get("ome", attributes)
    if not isinstance(ome, Mapping) or not ome.get("multiscales"):
        raise _damaged(folder, f"its image '{name}' has no metadata")
    return found, name, ome


def _images_of(folder: Path) -> list[str]:
    """Return the names of the images in a folder written by bioformats2raw."""
    return sorted((name for name in _parts(folder) if name.isdigit()), key=int)


def _check_alone(folder: Path, series: int | None) -> None:
    if series:
        raise UserError(f"{folder.name} holds one image: leave the series out, or give 0.")


def _parts(folder: Path) -> list[str]:
    """Return the names of the groups and arrays in a group.

    The folder is listed by us, because zarr warns of any file that is not its own.
    """
    return sorted(one.name for one in folder.iterdir() if one.is_dir() and is_zarr(one))


def _first_inside(ome: Mapping[str, Any]) -> str | None:
    """Return the path of a first image in a plate, a well or a group of labels."""
    try:
        if "plate" in ome:
            return f"{ome['plate']['wells'][0]['path']}/0"
        if "well" in ome:
            return str(ome["well"]["images"][0]["path"])
        return f"{ome['labels'][0]}" if ome.get("labels") else None
    except (LookupError, TypeError):
        return None


def _multiscale_image(
    folder: Path, key: str, group: Any, ome: Mapping[str, Any], notes: list[str]
) -> LoadedImage:
    """Return the image that OME metadata describes; its levels are not read."""
    found = _validated(folder, ome, notes)
    letters = _letters(folder, found.axes)
    order = tuple(sorted(range(len(letters)), key=lambda k: "YX".find(letters[k])))
    try:
        levels = _levels(folder, key, group, [str(d.path) for d in found.datasets], order)
    except Exception as error:  # zarr raises many kinds
        raise _damaged(folder, error) from error
    scales = _scales(found)
    axes = {letter: (scales[k], found.axes[k].unit) for k, letter in enumerate(letters)}
    pixel_size, unit = _pixel_size(axes, notes)
    z, z_unit = axes.get("Z", (None, None))
    time, time_unit = axes.get("T", (None, None))
    named = "".join(letters[k] for k in order)
    channels = _channels(ome, levels[0].shape[named.index("C")] if "C" in named else 0)
    return LoadedImage(
        levels if len(levels) > 1 else levels[0],
        False,
        named,
        pixel_size,
        unit,
        notes=tuple(notes),
        z_step=length_in(z, str(z_unit), unit),
        frame_time=in_seconds(time, str(time_unit)),
        channel_names=channels.names,
        channel_colours=channels.colours,
    )


def _channels(ome: Mapping[str, Any], n: int) -> Channels:
    """Return names and colours of n channels from the metadata for display, where all have one."""
    omero = ome.get("omero")
    listed = omero.get("channels") if isinstance(omero, Mapping) else None
    if not isinstance(listed, Sequence) or len(listed) != n:
        return Channels()
    about = [one if isinstance(one, Mapping) else {} for one in listed]
    names = tuple(str(one.get("label") or "").strip() for one in about)
    codes = [str(one.get("color") or "").lstrip("#") for one in about]
    known = all(re.fullmatch("[0-9A-Fa-f]{6}", code) for code in codes)
    colours = tuple(f"#{code.lower()}" for code in codes) if known else ()
    return Channels(names if all(names) else (), colours)


def _validated(folder: Path, ome: Mapping[str, Any], notes: list[str]) -> Any:
    """Return the first `Multiscale` of OME metadata, of version 0.4 or 0.5."""
    from ome_zarr_models.v04.multiscales import Multiscale as Multiscale04
    from ome_zarr_models.v05.multiscales import Multiscale as Multiscale05

    several = ome["multiscales"]
    first = several[0] if isinstance(several, Sequence) else None
    if not isinstance(first, Mapping):
        raise _damaged(folder, "its 'multiscales' is not a list of objects")
    version = ome.get("version", first.get("version", "0.4"))
    models: dict[Any, Any] = {"0.4": Multiscale04, "0.5": Multiscale05}
    if version not in models:
        raise UserError(f"{folder.name} is OME-Zarr of version {version}, but {_READ}.")
    if len(several) > 1:
        notes.append(f"The first of {len(several)} images in the folder was read.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of translations, which are not used
            return models[version].model_validate(first)
    except ValueError as error:
        raise _damaged(folder, _first_fault(error)) from error


def _first_fault(error: Any) -> str:
    """Return the first fault that pydantic found: where, and what."""
    fault = error.errors()[0]
    return f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"


def _letters(folder: Path, axes: Sequence[Any]) -> str:
    """Return one letter per axis: by its name t, c, z, y or x, else by its type."""
    free = list("XYZ")
    letters: list[str] = []
    for axis in reversed(axes):  # the last two axes of space are rows and columns
        letter = str(axis.name).upper()
        if letter not in set("TCZYX"):
            letter = free[0] if axis.type == "space" and free else _LETTERS.get(axis.type, "Q")
        if letter in free:
            free.remove(letter)
        letters.insert(0, letter)
    if len(set(letters)) < len(letters) or not {"Y", "X"} <= set(letters):
        names = ", ".join(str(axis.name) for axis in axes)
        raise _damaged(folder, f"rows and columns are not told by the axes {names}")
    return "".join(letters)


def _levels(
    folder: Path, key: str, group: Any, paths: list[str], order: tuple[int, ...]
) -> list[LazyArray]:
    """Return the levels, finest first; one that is not smaller than the last is left out."""
    levels: list[LazyArray] = []
    for path in paths:
        array = group[path]
        if not hasattr(array, "shape") or array.ndim != len(order):
            raise ValueError(f"'{path}' is not an array of {len(order)} axes")
        if levels and math.prod(array.shape) >= math.prod(levels[-1].shape):
            continue
        shape = tuple(array.shape[k] for k in order)
        source = ZarrSource(folder, f"{key}/{path}".strip("/"))
        levels.append(LazyArray(source, shape, array.dtype, order))
    return levels


def _scales(found: Any) -> list[float]:
    """Return the distance of values of the finest level along each axis, in the axis' unit."""
    scales = [1.0] * len(found.axes)
    for transforms in (
        found.datasets[0].coordinateTransformations,
        found.coordinateTransformations,
    ):
        for one in transforms or ():
            if hasattr(one, "scale"):
                scales = [a * b for a, b in zip(scales, one.scale, strict=True)]
    return scales


def _pixel_size(axes: Mapping[str, tuple[float, Any]], notes: list[str]) -> Calibration:
    (row, row_unit), (col, col_unit) = axes["Y"], axes["X"]
    if row_unit is None or col_unit is None:
        if (row, col) != (1.0, 1.0):
            notes.append(f"The pixel size {row:g} x {col:g} has no unit and was not used.")
        return UNKNOWN
    return in_one_unit(row, str(row_unit), col, str(col_unit))
