"""Everything needed to repeat a result, as one JSON file; its only writer and its only reader."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_serializer,
    field_validator,
)

from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.atomic import write_atomic
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.mapping import ImageMapping
from napari_samstar.core.models.registry import REGISTRY
from napari_samstar.core.results.migrations import VERSION, migrated

if TYPE_CHECKING:
    from napari_samstar.core.image.micrograph import Micrograph
    from napari_samstar.core.models.backend import LoadedModel, Precision

FORMAT = "samstar-recipe"
SUFFIX = ".samstar.json"
_PACKAGES = ("napari-samstar", "torch", "torchvision", "segment-anything", "numpy", "pymoo")


class Tuning(BaseModel):
    """How the settings of a recipe were found.

    Attributes
    ----------
    goal : dict
        `Goal.to_dict`.
    study : dict
        `StudyConfig.to_dict`; of recipes that an older version's panels wrote, some of it.
    expectations_px : dict
        `Expectations.to_dict` of the first image, lengths in px.
    picked : str
        "knee", "best" or "by hand".
    rewards : dict of str to float
        Of the chosen trial, unweighted.
    trials : int
        How many configurations were tried.
    hypervolume : float, optional
        That the Pareto front dominates.
    images : list of dict
        Name, content key and whether it was held out, for each of several images.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    goal: dict[str, Any]
    study: dict[str, Any] = Field(default_factory=dict)
    expectations_px: dict[str, Any] = Field(default_factory=dict)
    picked: str = ""
    rewards: dict[str, float] = Field(default_factory=dict)
    trials: int = 0
    hypervolume: float | None = None
    images: list[dict[str, Any]] = Field(default_factory=list)

    @field_validator("goal", "study", "expectations_px")
    @classmethod
    def _as_in_a_file(cls, value: dict[str, Any]) -> dict[str, Any]:
        """Make lists of tuples, so that a recipe equals the one read back from its file."""
        plain: dict[str, Any] = json.loads(json.dumps(value))
        return plain


class Recipe(BaseModel):
    """A result's provenance: same recipe, same image, same kind of machine, same labels.

    Attributes
    ----------
    config : AmgConfig
        The chosen settings.
    mapping : ImageMapping
        How the image was made 8-bit.
    model : str
        Registry name, or path of a checkpoint.
    model_sha256 : str
        Digest of the weights.
    image : dict
        Name, key (content hash), shape, pixel size and unit of the image it was made on.
    tuning : Tuning, optional
        How the settings were found; None where they were set by hand.
    pinned : tuple of dict
        Objects that the user kept, corrected or drew, see `amg.edits`; they belong to this image.
    dropped : tuple of dict
        Objects that the user deleted or replaced, likewise.
    adapter : str
        Digest of what the model's decoder learned from corrections (see `adaptation.weights`),
        empty without.
    software : dict
        Versions, device and number of threads; for the reader, not checked.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    model: str
    model_sha256: str
    image: dict[str, Any]
    config: AmgConfig
    mapping: ImageMapping
    tuning: Tuning | None = None
    pinned: tuple[dict[str, Any], ...] = ()
    dropped: tuple[dict[str, Any], ...] = ()
    adapter: str = ""
    software: dict[str, Any] = Field(default_factory=dict)

    @field_validator("config", mode="before")
    @classmethod
    def _config(cls, value: Any) -> AmgConfig:
        return value if isinstance(value, AmgConfig) else AmgConfig.from_dict(_mapping(value))

    @field_validator("mapping", mode="before")
    @classmethod
    def _image_mapping(cls, value: Any) -> ImageMapping:
        known = isinstance(value, ImageMapping)
        return value if known else ImageMapping.from_dict(_mapping(value))

    @field_serializer("config", "mapping")
    def _plain(self, value: AmgConfig | ImageMapping) -> dict[str, Any]:
        return value.to_dict()

    @property
    def precision(self) -> Precision:
        """How exactly the model computed: "reference" or "fast"."""
        return "fast" if self.software.get("precision") == "fast" else "reference"

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {"format": FORMAT, "version": VERSION, **self.model_dump(mode="json")}

    def save(self, path: str | Path) -> Path:
        """Write the recipe, whole or not at all, and return its path."""
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False)
        with write_atomic(path) as part:
            part.write_text(text + "\n", encoding="utf-8")
        return Path(path)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """Undo `to_dict`; recipes of older versions are read too.

        Raises
        ------
        UserError
            Where a recipe is of a newer version, incomplete or damaged.
        """
        if values.get("format") != FORMAT:
            raise UserError("This is not a recipe: choose a file that samstar wrote.")
        try:
            return cls.model_validate(migrated(values))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise UserError(
                f"The recipe is damaged ({where}: {first['msg'].lower()}): write it again."
            ) from error
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"The recipe is damaged ({error}): write it again.") from error

    @classmethod
    def load(cls, path: str | Path) -> Recipe:
        """Read a recipe file; UserError says what is wrong with it."""
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise UserError(f"There is no recipe {path}: check the path.") from error
        except (OSError, ValueError) as error:
            raise UserError(
                f"{path} is not a recipe (no readable JSON): choose another."
            ) from error
        if not isinstance(values, dict):
            raise UserError(f"{path} is not a recipe: choose a file that samstar wrote.")
        return cls.from_dict(values)

    def check_model(self, model: LoadedModel) -> None:
        """Raise UserError where `model` has other weights than the recipe's."""
        if model.sha256 != self.model_sha256:
            raise UserError(
                f"The recipe was made with weights {self.model_sha256[:12]}…, {model.name} has "
                f"{model.sha256[:12]}…: give the recipe's checkpoint with --model."
            )
        if model.adapter != self.adapter:
            raise UserError(
                f"The recipe was made with {_described(self.adapter)}, the model has "
                f"{_described(model.adapter)}: load the adapter file that was saved with it."
            )


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"settings expected, not {value!r}")
    return value


def _described(adapter: str) -> str:
    return f"what SAM learned from corrections ({adapter[:12]}…)" if adapter else "no adapter"


def make_recipe(
    image: Micrograph,
    model: LoadedModel,
    config: AmgConfig,
    tuning: Tuning | None = None,
    pinned: Sequence[dict[str, Any]] = (),
    dropped: Sequence[dict[str, Any]] = (),
) -> Recipe:
    """Write down how a result on `image` came about."""
    about_image = {
        "name": image.name,
        "key": image.key,
        "shape": list(image.shape),
        "pixel_size": list(image.pixel_size) if image.pixel_size else None,
        "unit": image.unit,
    }
    return Recipe(
        config=config,
        mapping=image.mapping,
        model=model.name if model.name in REGISTRY else str(model.path),
        model_sha256=model.sha256,
        image=about_image,
        tuning=tuning,
        pinned=tuple(pinned),
        dropped=tuple(dropped),
        adapter=model.adapter,
        software=_software(model),
    )


def _software(model: LoadedModel) -> dict[str, Any]:
    import torch

    versions = {name: _version(name) for name in _PACKAGES}
    return {
        **versions,
        "python": platform.python_version(),
        "device": str(model.device),
        "threads": torch.get_num_threads(),
        "precision": model.precision,
    }


@cache  # looked up on the GUI thread whenever something is applied
def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
