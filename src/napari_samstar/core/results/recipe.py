"""Everything needed to repeat a result, as one JSON file."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.atomic import write_atomic
from napari_samstar.core.errors import UserError
from napari_samstar.core.image.mapping import ImageMapping
from napari_samstar.core.models.registry import REGISTRY

if TYPE_CHECKING:
    from napari_samstar.core.image.micrograph import Micrograph
    from napari_samstar.core.models.backend import LoadedModel

FORMAT = "samstar-recipe"
VERSION = 2
SUFFIX = ".samstar.json"
_PACKAGES = ("napari-samstar", "torch", "torchvision", "segment-anything", "numpy", "pymoo")


@dataclass(frozen=True)
class Recipe:
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
    tuning : dict
        How the settings were found: goal, plan, sizes, what was picked, its rewards. Empty where
        they were set by hand.
    pinned : tuple of dict
        Objects that the user kept against the settings, see `pin`; they belong to this image.
    adapter : str
        Digest of what the model's decoder learned from corrections (see `adapters`), empty
        without.
    software : dict
        Versions, device and number of threads; for the reader, not checked.
    """

    config: AmgConfig
    mapping: ImageMapping
    model: str
    model_sha256: str
    image: dict[str, Any]
    tuning: dict[str, Any] = field(default_factory=dict)
    pinned: tuple[dict[str, Any], ...] = ()
    adapter: str = ""
    software: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {
            "format": FORMAT,
            "version": VERSION,
            **{k: v for k, v in vars(self).items() if k not in ("config", "mapping", "pinned")},
            "config": self.config.to_dict(),
            "mapping": self.mapping.to_dict(),
            "pinned": list(self.pinned),
        }

    def save(self, path: str | Path) -> Path:
        """Write the recipe, whole or not at all, and return its path."""
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False)
        with write_atomic(path) as part:
            part.write_text(text + "\n", encoding="utf-8")
        return Path(path)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """Undo `to_dict`; UserError where a recipe is of another version or incomplete."""
        if values.get("format") != FORMAT:
            raise UserError("This is not a recipe: choose a file that samstar wrote.")
        if values.get("version") != VERSION:
            raise UserError(
                f"The recipe has version {values.get('version')!r}, this program reads {VERSION}: "
                "update napari-samstar."
            )
        try:
            return cls(
                config=AmgConfig.from_dict(values["config"]),
                mapping=ImageMapping.from_dict(values["mapping"]),
                model=str(values["model"]),
                model_sha256=str(values["model_sha256"]),
                image=dict(values["image"]),
                tuning=dict(values.get("tuning", {})),
                pinned=tuple(dict(entry) for entry in values.get("pinned", ())),
                adapter=str(values.get("adapter", "")),
                software=dict(values.get("software", {})),
            )
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


def _described(adapter: str) -> str:
    return f"what SAM learned from corrections ({adapter[:12]}…)" if adapter else "no adapter"


def make_recipe(
    image: Micrograph,
    mapping: ImageMapping,
    model: LoadedModel,
    config: AmgConfig,
    tuning: dict[str, Any] | None = None,
    pinned: Sequence[dict[str, Any]] = (),
) -> Recipe:
    """Write down how a result on `image` came about."""
    about_image = {
        "name": image.name,
        "key": image.key,
        "shape": list(image.shape),
        "pixel_size": list(image.pixel_size) if image.pixel_size else None,
        "unit": image.unit,
    }
    named = model.name if model.name in REGISTRY else str(model.path)
    return Recipe(
        config=config,
        mapping=mapping,
        model=named,
        model_sha256=model.sha256,
        image=about_image,
        tuning=tuning or {},
        pinned=tuple(pinned),
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
