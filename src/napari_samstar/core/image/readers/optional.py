"""Formats of microscopes that other packages read: MRC, DigitalMicrograph, EMD, SER; CZI, ND2, LIF.

The packages are in the extras `em` and `light`. Where one is not installed, the error says how to
install it.
"""

from __future__ import annotations

import importlib
import itertools
import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.loaded import LoadedImage
from napari_samstar.core.image.readers.lazy import LazyArray, damaged
from napari_samstar.core.image.units import in_nm_or_um, in_one_unit, length_in

if TYPE_CHECKING:
    from napari_samstar.core.image.planes import Array


@dataclass(eq=False)
class OptionalReader:
    """Reads formats with another package, which is imported when it is needed.

    Attributes
    ----------
    name, kinds, suffixes
        See `Reader`.
    package, extra : str
        What must be installed, and the extra of this package that does it.
    load : callable
        Reads one image of a path with the imported package, by its index in the file.
    heads : tuple of bytes
        What the content begins with.
    """

    name: str
    kinds: str
    suffixes: tuple[str, ...]
    package: str
    extra: str
    load: Callable[[Any, Path, int], LoadedImage]
    heads: tuple[bytes, ...] = (b"",)

    def supports(self, path: Path, head: bytes) -> bool:
        """Return whether name and content are those of this format."""
        known = path.name.lower().endswith(self.suffixes) and head.startswith(self.heads)
        return bool(head) and known

    def read(self, path: Path, series: int | None = None) -> LoadedImage:
        """See `Reader.read`; by default the first image of several is read."""
        try:
            package = importlib.import_module(self.package)
        except ImportError as error:
            raise UserError(
                f"{path.name} needs the package {self.package.partition('.')[0]}: run "
                f"pip install 'napari-samstar[{self.extra}]'."
            ) from error
        try:
            found = self.load(package, path, series or 0)
        except (UserError, MemoryError):
            raise
        except Exception as error:  # the packages raise many kinds
            raise damaged(path, error) from error
        if series and not found.series:
            raise UserError(f"{path.name} holds one image: leave the series out, or give 0.")
        return found.replace(name=path.stem, path=path)


# --- electron microscopy ------------------------------------------------------------------------


def _mrc(package: Any, path: Path, _: int) -> LoadedImage:
    """Read MRC with mrcfile; the file is memory-mapped."""
    with package.mmap(path, mode="r", permissive=True) as file:
        array, size = file.data, file.voxel_size
        stack = file.is_image_stack()
    if array is None:
        raise ValueError("there is no data")
    axes = {2: "YX", 3: "QYX" if stack else "ZYX", 4: "QZYX"}[array.ndim]
    pixel_size, unit = in_nm_or_um(float(size.y), float(size.x), "angstrom")
    z_step = None if stack else length_in(float(size.z), "angstrom", unit)
    return LoadedImage(array, False, axes, pixel_size, unit, z_step=z_step)


def _ncem(package: Any, path: Path, _: int) -> LoadedImage:
    """Read DM3, DM4, EMD and SER with ncempy."""
    found = package.read(path)
    array = np.asarray(found["data"])
    n = array.ndim
    sizes = [float(v) for v in np.ravel(found.get("pixelSize", ()))][-n:]
    # EMD writes units as '[n_m]'.
    units = [str(u).strip("[]").replace("_", "") for u in np.ravel(found.get("pixelUnit", ()))][-n:]
    pixel_size, unit = None, "px"
    if len(sizes) >= 2 and len(units) >= 2:
        pixel_size, unit = in_one_unit(sizes[-2], units[-2], sizes[-1], units[-1])
    axes = "Q" * (n - 2) + "YX" if n <= 3 else ""
    return LoadedImage(array, False, axes, pixel_size, unit)


# --- light microscopy ---------------------------------------------------------------------------


def _nd2(package: Any, path: Path, _: int) -> LoadedImage:
    """Read ND2 with nd2; planes are read when they are needed."""
    with package.ND2File(path) as file:
        axes = "".join("Q" if axis == "P" else axis for axis in file.sizes)
        voxel = file.voxel_size()
        channels = getattr(file.metadata, "channels", None) or ()
        names = tuple(str(one.channel.name) for one in channels)
        array = file.to_dask()  # opens the file again where it is computed
    size, unit = in_nm_or_um(voxel.y, voxel.x, "µm")
    return LoadedImage(
        array,
        axes.endswith("S"),
        axes,
        size,
        unit,
        z_step=length_in(voxel.z, "µm", unit),
        channel_names=names,
    )


def _lif(package: Any, path: Path, series: int) -> LoadedImage:
    """Read an image of a LIF file with liffile."""
    with package.LifFile(path) as file:
        names = tuple(f"{k}: {one.name}" for k, one in enumerate(file.images))
        if series >= len(names):
            raise UserError(
                f"There is no image {series} in {path.name}: choose one from 0 to {len(names) - 1}."
            )
        image = file.images[series]
        array, dims = image.asarray(), tuple(image.dims)
        steps = {dim: _step(image.coords.get(dim)) for dim in dims}
    axes = "".join(str(dim)[:1].upper() for dim in dims)
    if len(set(axes)) < len(axes) or not axes.removesuffix("S").endswith("YX"):
        axes = ""
    rows, cols = steps.get("Y"), steps.get("X")
    several = len(names) > 1
    notes = (f"Of {len(names)} images in the file, image {series} was read.",) if several else ()
    size, unit = in_nm_or_um(rows, cols, "m")
    return LoadedImage(
        array,
        axes.endswith("S"),
        axes,
        size,
        unit,
        notes=notes,
        series=names if several else (),
        series_index=series,
        z_step=length_in(steps.get("Z"), "m", unit),
    )


def _step(places: Any) -> float | None:
    return None if places is None or len(places) < 2 else float(places[1] - places[0])


@dataclass(frozen=True)
class CziSource:
    """A CZI file, as `LazyArray` opens it with pylibCZIrw."""

    path: Path
    axes: str
    shape: tuple[int, ...]

    def open(self) -> tuple[Any, Callable[[], None]]:
        """Return an array that reads windows, and what closes the file."""
        opened = importlib.import_module("pylibCZIrw.czi").open_czi(str(self.path))
        document = opened.__enter__()
        return _CziArray(document, self.axes, self.shape), lambda: opened.__exit__(None, None, None)


class _CziArray:
    """The planes of a CZI document; indices are integers and slices, one for each axis."""

    def __init__(self, document: Any, axes: str, shape: tuple[int, ...]) -> None:
        self._document, self._axes, self._shape = document, axes, shape
        box = document.total_bounding_rectangle
        self._corner = box.x, box.y

    def __getitem__(self, index: tuple[int | slice, ...]) -> Array:
        n_leading = self._axes.index("Y")
        leading, (rows, cols, *samples) = index[:n_leading], index[n_leading:]
        window = [self._range(n_leading + k, one) for k, one in enumerate((rows, cols))]
        x0, y0 = self._corner
        roi = (x0 + window[1].start, y0 + window[0].start, len(window[1]), len(window[0]))
        choices = [self._range(k, one) for k, one in enumerate(leading)]
        planes = [
            self._document.read(plane=dict(zip(self._axes, at, strict=False)), roi=roi)
            for at in itertools.product(*choices)
        ]
        stacked = np.stack(planes).reshape(*map(len, choices), *planes[0].shape)
        picked: list[Any] = [0 if isinstance(one, int) else slice(None) for one in leading]
        picked += [
            0 if isinstance(one, int) else slice(None, None, one.step) for one in (rows, cols)
        ]
        return np.asarray(stacked[(*picked, *(samples or (0,)))])

    def _range(self, axis: int, one: int | slice) -> range:
        if isinstance(one, int):
            return range(one, one + 1)
        start, stop, _ = one.indices(self._shape[axis])
        return range(start, max(stop, start + 1))


def _czi(package: Any, path: Path, _: int) -> LoadedImage:
    """Read CZI with Zeiss' pylibCZIrw; windows are read when they are needed."""
    with package.open_czi(str(path)) as document:
        box, rectangle = document.total_bounding_box, document.total_bounding_rectangle
        kinds = set(document.pixel_types.values())
        xml = ElementTree.fromstring(document.raw_metadata)
    if len(kinds) != 1:
        raise UserError(f"The channels of {path.name} have different types of values: export it.")
    kind = kinds.pop()
    colour = kind.startswith("Bgr")
    leading = "".join(a for a in "TCZ" if box.get(a, (0, 1))[1] - box.get(a, (0, 1))[0] > 1)
    shape = (*(box[a][1] - box[a][0] for a in leading), rectangle.h, rectangle.w)
    axes = leading + ("YXS" if colour else "YX")
    dtype = {"Gray8": "u1", "Gray16": "u2", "Gray32Float": "f4", "Bgr24": "u1", "Bgr48": "u2"}[kind]
    source = CziSource(path.absolute(), axes, (*shape, 3) if colour else shape)
    array: Any = LazyArray(source, source.shape, dtype)
    if colour:
        from napari_samstar.core.image.readers.samples import SampleMap, mapped

        array = mapped(array, SampleMap("reversed"))
    scale = {
        one.attrib.get("Id"): float(one.findtext("Value") or "nan")
        for one in xml.iter("Distance")
        if one.attrib.get("Id")
    }
    names = tuple(
        str(one.attrib.get("Name") or one.attrib.get("Id", ""))
        for one in xml.findall(".//Information/Image/Dimensions/Channels/Channel")
    )
    size, unit = in_nm_or_um(scale.get("Y"), scale.get("X"), "m")
    z = scale.get("Z")
    return LoadedImage(
        array,
        colour,
        axes,
        size,
        unit,
        z_step=None if z is None or math.isnan(z) else length_in(z, "m", unit),
        channel_names=names if "C" in leading else (),
    )


OPTIONAL_READERS = (
    OptionalReader("mrc", "MRC", (".mrc", ".mrcs", ".map", ".rec", ".st"), "mrcfile", "em", _mrc),
    OptionalReader(
        "dm", "DM3 or DM4", (".dm3", ".dm4"), "ncempy", "em", _ncem, (b"\0\0\0\3", b"\0\0\0\4")
    ),
    OptionalReader("emd", "EMD", (".emd",), "ncempy", "em", _ncem, (b"\x89HDF",)),
    OptionalReader("ser", "SER", (".ser",), "ncempy", "em", _ncem, (b"II\x97\1",)),
    OptionalReader(
        "nd2", "ND2", (".nd2",), "nd2", "light", _nd2, (b"\xda\xce\xbe\n", b"\0\0\0\x0cjP")
    ),
    OptionalReader("lif", "LIF", (".lif",), "liffile", "light", _lif, (b"\x70\0\0\0",)),
    OptionalReader("czi", "CZI", (".czi",), "pylibCZIrw.czi", "light", _czi, (b"ZISRAWFILE",)),
)
