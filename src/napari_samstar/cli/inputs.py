"""From a command's options to images and a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_samstar.cli.console import say
from napari_samstar.core.errors import UserError
from napari_samstar.core.models.families import other_families
from napari_samstar.core.models.registry import REGISTRY, ModelChoice

if TYPE_CHECKING:
    from napari_samstar.core.image.loaded import LoadedImage
    from napari_samstar.core.image.mapping import ImageMapping, Projection
    from napari_samstar.core.image.micrograph import Micrograph
    from napari_samstar.core.image.region import Region
    from napari_samstar.core.models.backend import LoadedModel, Precision


@dataclass(frozen=True)
class Calibration:
    """The size of a pixel as the user gives it; None leaves it to the file."""

    pixel_size: tuple[float, float] | None = None
    unit: str | None = None


@dataclass(frozen=True)
class RegionOptions:
    """Where the user wants objects: rectangles 'x0,y0,x1,y1' or mask files."""

    inside: Sequence[str] = ()
    outside: Sequence[str] = ()
    keep_bar: bool = False
    border_objects: bool = True

    def of(self, image: LoadedImage) -> Region:
        """Return the region of an image; UserError for a file that does not fit it."""
        import numpy as np

        from napari_samstar.core.image.region import Region

        shape = image.plane_shape
        inside = [_polygon_or_mask(text, image) for text in self.inside]
        outside = [_polygon_or_mask(text, image) for text in self.outside]
        if not any(isinstance(one, np.ndarray) for one in (*inside, *outside)):
            return Region(tuple(inside), tuple(outside), border_objects=self.border_objects)
        mask = np.zeros(shape, dtype=bool) if inside else np.ones(shape, dtype=bool)
        for one in inside:
            mask |= one if isinstance(one, np.ndarray) else Region((one,)).mask(shape)
        for one in outside:
            mask &= ~one if isinstance(one, np.ndarray) else ~Region((one,)).mask(shape)
        return Region.of_mask(mask).replace(border_objects=self.border_objects)


def _polygon_or_mask(text: str, image: LoadedImage) -> Any:
    """Return a rectangle as a polygon, or the mask in a file as a bool array."""
    from napari_samstar.core.image.readers.labels import read_labels
    from napari_samstar.core.image.region import rectangle

    parts = text.split(",")
    if len(parts) == 4 and all(part.strip().lstrip("-").isdecimal() for part in parts):
        x0, y0, x1, y1 = (int(part) for part in parts)
        if x0 >= x1 or y0 >= y1:
            raise UserError(
                f"The rectangle {text} is empty: give x0,y0,x1,y1 with x0 < x1, y0 < y1."
            )
        return rectangle(y0, x0, y1, x1)
    return read_labels(text, image, "region").labels > 0


@dataclass(frozen=True)
class View:
    """What SAM shall see of an image, as the user gives it.

    Attributes
    ----------
    channel : str, optional
        See `channels.with_channels`.
    limits : tuple of float, optional
        Intensities that become black and white.
    series : int, optional
        Which image of a file that holds several.
    region : RegionOptions
    """

    channel: str | None = None
    projection: Projection = "none"
    invert: bool = False
    limits: tuple[float, float] | None = None
    series: int | None = None
    region: RegionOptions = field(default_factory=lambda: RegionOptions())

    def of(self, image: LoadedImage) -> ImageMapping:
        """Return the mapping of an image; UserError for a channel that it does not have."""
        from napari_samstar.core.image.channels import with_channels
        from napari_samstar.core.image.mapping import ImageMapping

        mapping = ImageMapping(projection=self.projection, invert=self.invert)
        mapping = mapping.replace(
            region=self.region.of(image), data_bar="keep" if self.region.keep_bar else "auto"
        )
        if self.limits is not None:
            mapping = mapping.replace(stretch="limits", limits=self.limits)
        image = image.replace(mapping=mapping)
        return mapping if self.channel is None else with_channels(image, self.channel).mapping


def open_image(path: Path, view: View | ImageMapping, calibration: Calibration) -> LoadedImage:
    """Read a file; what SAM sees of it is chosen by `view`, its pixel size where it is given."""
    from napari_samstar.core.image.readers.registry import read_image
    from napari_samstar.core.image.units import in_nm_or_um, length_in

    image = read_image(path, view.series if isinstance(view, View) else None).replace(path=path)
    image = image.replace(mapping=view.of(image) if isinstance(view, View) else view)
    if calibration.pixel_size is not None:
        unit = calibration.unit or image.unit
        if unit == "px":
            raise UserError("The unit of --pixel-size is not known: give it, such as --unit nm.")
        size, unit = in_nm_or_um(*calibration.pixel_size, unit)
        if size is None:
            raise UserError("The pixel size must be positive: correct --pixel-size.")
        z_step = image.z_step and length_in(image.z_step, image.unit, unit)
        return image.replace(pixel_size=size, unit=unit, z_step=z_step)
    if calibration.unit is not None and in_nm_or_um(1, 1, calibration.unit)[1] != image.unit:
        raise UserError(
            f"The file gives its pixel size in {image.unit}: to change it, add --pixel-size."
        )
    return image


def at_plane(image: LoadedImage, text: str | None) -> LoadedImage:
    """Return the image at the one plane that the user names; at the middle one without."""
    if text is None:
        return image
    from napari_samstar.core.image.plane_text import parse_planes

    planes = parse_planes(text, image.plane_sizes, image.axes)
    if len(planes) != 1:
        raise UserError(f"'{text}' names {len(planes)} planes: give one.")
    return image.at(planes[0])


def model_choice(name_or_path: str, device: str, precision: Precision = "reference") -> ModelChoice:
    """Return which model is meant; a path is made absolute, so that a recipe works anywhere."""
    other_families()
    if name_or_path not in REGISTRY:
        name_or_path = str(Path(name_or_path).expanduser().absolute())
    return ModelChoice(name_or_path, device, precision)


def say_notes(image: Micrograph) -> None:
    """Say what was decided while an image was read."""
    for note in image.notes:
        say(f"{image.name}: {note}")


def say_model(model: LoadedModel) -> None:
    """Say where a model runs."""
    say(f"Model {model.name} on {model.device_reason}")
