"""An image as a file or a layer holds it; nothing is read before it is needed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_samstar.core.image.mapping import ImageMapping
from napari_samstar.core.image.planes import is_colour
from napari_samstar.core.image.prepare import prepare
from napari_samstar.core.image.units import factor_to_shown

if TYPE_CHECKING:
    from napari_samstar.core.image.micrograph import Micrograph


@dataclass(frozen=True, eq=False)
class LoadedImage:
    """An image or a stack, and which plane of it is meant.

    Attributes
    ----------
    array : array
        (..., H, W), or (..., H, W, 3 or 4) in colour. NumPy, or lazy: indexing reads. A sequence of
        arrays is a multiscale image, finest first.
    rgb : bool, optional
        Whether the last axis is colour; None decides by the array, see `planes.is_colour`.
    axes : str
        One letter per axis, as in TIFF: T time, Z depth, C channel, Y row, X column, S colour.
        Empty where they are not known.
    pixel_size : tuple of float, optional
        (row, col) in `unit`.
    unit : str
        "nm", "µm" or, where it is not known, "px". Other lengths are converted to these.
    name : str
        For titles and file names.
    notes : tuple of str
        What was decided while reading, one sentence each.
    mapping : ImageMapping
        Which plane is meant, and how its intensities become 8-bit.
    path : Path, optional
        The file or folder it came from.
    z_step : float, optional
        Distance between neighbouring planes along Z, in `unit`.
    frame_time : float, optional
        Time between neighbouring planes along T, s.
    channel_names : tuple of str
        Of each channel; empty where the file gives none.
    channel_colours : tuple of str
        "#rrggbb" of each channel; empty where the file gives none.
    series : tuple of str
        A description of each image that the file holds; empty where it is the only one.
    series_index : int
        Which of them this is.
    bar_rows : int, optional
        Rows of the data bar at the bottom, where the file says so.
    """

    array: Any
    rgb: bool | None = None
    axes: str = ""
    pixel_size: tuple[float, float] | None = None
    unit: str = "px"
    name: str = "image"
    notes: tuple[str, ...] = ()
    mapping: ImageMapping = field(default_factory=ImageMapping)
    path: Path | None = None
    z_step: float | None = None
    frame_time: float | None = None
    channel_names: tuple[str, ...] = ()
    channel_colours: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    series_index: int = 0
    bar_rows: int | None = None

    def __post_init__(self) -> None:
        factor, unit = factor_to_shown(self.unit)
        if unit == self.unit:
            return
        object.__setattr__(self, "unit", unit)
        if self.pixel_size is not None:
            row, col = self.pixel_size
            object.__setattr__(self, "pixel_size", (row * factor, col * factor))
        if self.z_step is not None:
            object.__setattr__(self, "z_step", self.z_step * factor)

    def prepare(self) -> Micrograph:
        """Return what SAM sees of the plane; see `prepare.prepare`."""
        image = prepare(
            self.array,
            self.mapping,
            rgb=self.rgb,
            axes=self.axes,
            pixel_size=self.pixel_size,
            unit=self.unit,
            name=self.name,
            bar_rows=self.bar_rows,
        )
        return dataclasses.replace(image, notes=self.notes + image.notes)

    def replace(self, **changes: Any) -> LoadedImage:
        """Return a copy with `changes` applied."""
        return dataclasses.replace(self, **changes)

    def at(self, plane: tuple[int, ...] | None) -> LoadedImage:
        """Return the same image with another plane; None means the middle one."""
        return self.replace(mapping=self.mapping.replace(plane=plane))

    @property
    def plane_sizes(self) -> tuple[int, ...]:
        """Sizes of the axes before rows and columns; empty for a single plane."""
        shape = self._shape
        return shape[:-3] if self.in_colour else shape[:-2]

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Rows and columns of a plane, px."""
        rows, cols = self._shape[-3:-1] if self.in_colour else self._shape[-2:]
        return rows, cols

    @property
    def finest(self) -> Any:
        """The array, or the finest level of a multiscale image; nothing is read."""
        several = isinstance(self.array, Sequence) and hasattr(self.array[0], "shape")
        return self.array[0] if several else self.array

    @property
    def _shape(self) -> tuple[int, ...]:
        return tuple(int(n) for n in self.finest.shape)

    @property
    def in_colour(self) -> bool:
        """Whether the last axis is colour."""
        return is_colour(self.finest, self.rgb)
