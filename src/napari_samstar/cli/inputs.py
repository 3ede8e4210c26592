"""From a command's options to an image and a model that are ready to use."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_samstar.cli.console import download_bar, say
from napari_samstar.core.errors import UserError

if TYPE_CHECKING:
    from napari_samstar.core.amg.bank import ProposalBank
    from napari_samstar.core.image.mapping import ImageMapping
    from napari_samstar.core.image.micrograph import Micrograph
    from napari_samstar.core.models.backend import LoadedModel


@dataclass(frozen=True)
class Calibration:
    """What the user says about the size of a pixel; None leaves it to the file."""

    pixel_size: tuple[float, float] | None = None
    unit: str | None = None


def open_image(path: Path, mapping: ImageMapping, calibration: Calibration) -> Micrograph:
    """Read a file and make of it what SAM sees; says what was decided on the way."""
    from napari_samstar.core.image.prepare import prepare
    from napari_samstar.core.image.readers.registry import read_image

    loaded = read_image(path)
    size, unit = loaded.pixel_size, loaded.unit
    if calibration.pixel_size is not None:
        size, unit = calibration.pixel_size, calibration.unit or unit
        if unit == "px":
            raise UserError("The unit of --pixel-size is not known: give it, such as --unit nm.")
    elif calibration.unit not in (None, unit):
        raise UserError(f"The file gives its pixel size in {unit}: to change it, add --pixel-size.")
    image = prepare(
        loaded.array, mapping, rgb=loaded.rgb, pixel_size=size, unit=unit, name=loaded.name
    )
    notes = loaded.notes + image.notes
    for note in notes:
        say(f"{loaded.name}: {note}")
    return dataclasses.replace(image, notes=notes)


def open_model(name_or_path: str, device: str) -> LoadedModel:
    """Load a model, downloading it first if need be; says where it runs."""
    from napari_samstar.core.models.loading import REGISTRY, load

    if name_or_path not in REGISTRY:  # a recipe must find it from any folder
        name_or_path = str(Path(name_or_path).expanduser().absolute())
    with download_bar(f"Downloading {name_or_path}") as report:
        model = load(name_or_path, device, progress=report)
    say(f"Model {model.name} on {model.device_reason}")
    return model


def open_bank(image: Micrograph, model: LoadedModel) -> ProposalBank:
    """Return an empty bank whose embeddings are kept between runs."""
    from napari_samstar.core.amg.bank import ProposalBank
    from napari_samstar.core.models.encoder import default_cache

    return ProposalBank(image, model, default_cache())
