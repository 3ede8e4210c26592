"""SAM 2.1 and SAM-HQ from folders in Hugging Face's format. Imports neither torch nor the network.

The networks are those of the package `transformers`, which the extra `hf` installs; it is imported
when such a model is loaded.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_samstar.core.errors import UserError

if TYPE_CHECKING:
    import torch

    from napari_samstar.core.models.registry import ModelInfo
    from napari_samstar.core.models.transformers_backend import TransformersBackend

CONFIG, WEIGHTS = "config.json", "model.safetensors"

_ARCHITECTURES = {"sam2": "sam2", "sam2_video": "sam2", "sam_hq": "sam_hq"}
"""By `model_type`. Meta's files of SAM 2.1 call themselves "sam2_video": they hold the image model
and, besides, a memory for videos, which is left out."""


class TransformersFamily:
    """Folders with config.json and model.safetensors."""

    name = "transformers"
    models: tuple[ModelInfo, ...] = ()

    def recognises(self, path: Path) -> bool:
        """Return whether the path is such a folder, or the weights in one."""
        return (path.is_dir() or path.name == WEIGHTS) and (_folder(path) / CONFIG).is_file()

    def load(self, path: Path, device: torch.device) -> tuple[TransformersBackend, str]:
        """See `ModelFamily.load`."""
        folder = _folder(path)
        architecture = _architecture(folder)
        if not (folder / WEIGHTS).is_file():
            raise UserError(
                f"{folder} has no {WEIGHTS}: download that file into it too, or save the model "
                "anew with save_pretrained."
            )
        _check_installed()
        from napari_samstar.core.models.transformers_backend import Sam2Backend, SamHqBackend
        from napari_samstar.core.models.weights import placed

        network = placed(_network(folder, architecture), device)
        backend = Sam2Backend if architecture == "sam2" else SamHqBackend
        return backend(network), architecture


def _folder(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def _architecture(folder: Path) -> str:
    try:
        kind = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(
            f"{folder / CONFIG} does not say which model this is (no model_type): "
            "download the folder again."
        ) from None
    if kind not in _ARCHITECTURES:
        raise UserError(
            f"{folder} holds a model of the kind {kind!r}, which is not known here: choose one of "
            f"{', '.join(_ARCHITECTURES)}."
        )
    return _ARCHITECTURES[kind]


def _check_installed() -> None:
    try:
        from transformers import Sam2Model, SamHQModel  # noqa: F401
    except ImportError:
        raise UserError(
            "SAM 2.1 and SAM-HQ need the package transformers, in a version that has them: "
            "run pip install 'napari-samstar[hf]'."
        ) from None


def _network(folder: Path, architecture: str) -> Any:
    """Return the frozen network in eval mode, float32, on the CPU."""
    import torch
    from transformers import Sam2Model, SamHQModel

    from napari_samstar.core.models.weights import is_finite

    kind = Sam2Model if architecture == "sam2" else SamHQModel
    try:
        with _quiet():
            network, about = kind.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except Exception as error:  # transformers' readers raise many kinds
        detail = str(error).strip().partition("\n")[0]
        raise UserError(
            f"{folder} is damaged, or its files do not belong together ({detail}): "
            "download the folder again."
        ) from error
    missing = sorted(about["missing_keys"])
    if missing:
        raise UserError(
            f"{folder / WEIGHTS} is not a complete {architecture}: {len(missing)} of its weights "
            f"are missing, first {missing[0]}; download the folder again."
        )
    for name, value in network.state_dict().items():
        if not is_finite(value):
            raise UserError(
                f"{folder / WEIGHTS} is damaged, its weights {name} are not finite: "
                "get a fresh copy."
            )
    return network.requires_grad_(False).eval()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' remarks and progress bars off the terminal."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
