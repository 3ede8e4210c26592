"""From a command's options to images and a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_samstar.cli.console import say
from napari_samstar.core.errors import UserError
from napari_samstar.core.models.families import other_families
from napari_samstar.core.models.registry import REGISTRY, ModelChoice

if TYPE_CHECKING:
    from napari_samstar.core.image.loaded import LoadedImage
    from napari_samstar.core.image.mapping import ImageMapping
    from napari_samstar.core.image.micrograph import Micrograph
    from napari_samstar.core.models.backend import LoadedModel


@dataclass(frozen=True)
class Calibration:
    """The size of a pixel as the user gives it; None leaves it to the file."""

    pixel_size: tuple[float, float] | None = None
    unit: str | None = None


def open_image(path: Path, mapping: ImageMapping, calibration: Calibration) -> LoadedImage:
    """Read a file; its plane is chosen by `mapping`, its pixel size by the user where given."""
    from napari_samstar.core.image.readers.registry import read_image

    image = read_image(path).replace(mapping=mapping, path=path)
    if calibration.pixel_size is not None:
        unit = calibration.unit or image.unit
        if unit == "px":
            raise UserError("The unit of --pixel-size is not known: give it, such as --unit nm.")
        return image.replace(pixel_size=calibration.pixel_size, unit=unit)
    if calibration.unit not in (None, image.unit):
        raise UserError(
            f"The file gives its pixel size in {image.unit}: to change it, add --pixel-size."
        )
    return image


def at_plane(image: LoadedImage, text: str | None) -> LoadedImage:
    """Return the image at the one plane that the user names; at the middle one without."""
    if text is None:
        return image
    from napari_samstar.core.image.plane_text import parse_planes

    planes = parse_planes(text, image.plane_sizes)
    if len(planes) != 1:
        raise UserError(f"'{text}' names {len(planes)} planes: give one.")
    return image.at(planes[0])


def model_choice(name_or_path: str, device: str) -> ModelChoice:
    """Return which model is meant; a path is made absolute, so that a recipe works anywhere."""
    other_families()
    if name_or_path not in REGISTRY:
        name_or_path = str(Path(name_or_path).expanduser().absolute())
    return ModelChoice(name_or_path, device)


def say_notes(image: Micrograph) -> None:
    """Say what was decided while an image was read."""
    for note in image.notes:
        say(f"{image.name}: {note}")


def say_model(model: LoadedModel) -> None:
    """Say where a model runs."""
    say(f"Model {model.name} on {model.device_reason}")
