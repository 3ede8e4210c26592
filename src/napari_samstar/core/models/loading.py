"""Load a SAM by name or from a file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

import pooch
import torch
from segment_anything.modeling import Sam

from napari_samstar.core.errors import UserError
from napari_samstar.core.models.checkpoints import build, infer_architecture, read_weights
from napari_samstar.core.models.device import choose_device
from napari_samstar.core.models.downloads import (
    Cancelled,
    DownloadCancelled,
    Report,
    fetch,
    local_file,
    models_folder,
)
from napari_samstar.core.models.registry import REGISTRY, Architecture, ModelInfo

__all__ = [
    "REGISTRY",
    "DownloadCancelled",
    "LoadedModel",
    "ModelInfo",
    "fetch",
    "load",
    "local_file",
    "models_folder",
]

Precision = Literal["reference", "fast"]


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A SAM that is ready to run.

    Attributes
    ----------
    sam : segment_anything.modeling.Sam
        Float32 on `device`, in eval mode, no parameter asks for a gradient.
    name : str
        Registry name, or the file name without its ending.
    architecture : Architecture
        Inferred from the weights.
    sha256 : str
        Hex digest of the file.
    device : torch.device
        Where it runs.
    device_reason : str
        Why there, one sentence.
    path : Path
        The file.
    precision : {"reference", "fast"}
        "reference" is float32; "fast" allows what runs the model to use lower precision.
    adapter : str
        Digest of what its mask decoder learned from corrections (`adapters.WeightDelta.digest`); empty
        where it is the file's.
    """

    sam: Sam
    name: str
    architecture: Architecture
    sha256: str
    device: torch.device
    path: Path
    device_reason: str = ""
    precision: Precision = "reference"
    adapter: str = ""

    @property
    def identity(self) -> str:
        """What its answers depend on: the weights' digest, and that of what was learned since."""
        return f"{self.sha256}+{self.adapter}" if self.adapter else self.sha256


def load(
    name_or_path: str | Path = "pocket",
    device: str = "auto",
    precision: Precision = "reference",
    *,
    progress: Report | None = None,
    cancelled: Cancelled | None = None,
) -> LoadedModel:
    """Load a model by its registry name, downloading it if need be, or from a checkpoint file.

    Parameters
    ----------
    name_or_path : str or Path
        A name in `REGISTRY`, or a .pth, .pt or .safetensors file: Meta's, MobileSAM's, micro-sam's
        or pocket's layout.
    device : str
        See `napari_samstar.core.models.device.choose_device`.
    precision : {"reference", "fast"}
        Kept in the result.
    progress, cancelled : callable, optional
        For the download; see `fetch`.

    Raises
    ------
    UserError
        When there is no such model or file, the file is not a complete SAM, the download fails, or
        the model does not fit on the device.
    """
    if precision not in get_args(Precision):
        raise UserError(f"The precision must be 'reference' or 'fast', not {precision!r}.")
    chosen = choose_device(device)
    info = REGISTRY.get(str(name_or_path))
    path = fetch(info.name, progress, cancelled) if info else _existing(Path(name_or_path))
    weights, metadata = read_weights(path)
    architecture = infer_architecture(weights, metadata, path.name)
    sam = build(architecture, weights, path.name)
    return LoadedModel(
        sam=_move(sam, chosen.device),
        name=info.name if info else path.stem,
        architecture=architecture,
        sha256=(info.sha256 if info else None) or file_sha256(path),
        device=chosen.device,
        path=path,
        device_reason=chosen.reason,
        precision=precision,
    )


def file_sha256(path: Path) -> str:
    """Return the hex digest of a file, remembered until its size or time of change differs."""
    about = path.stat()
    return _sha256(path.resolve(), about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=32)
def _sha256(path: Path, size: int, changed_ns: int) -> str:
    return str(pooch.file_hash(str(path), alg="sha256"))


def _existing(path: Path) -> Path:
    path = path.expanduser()
    if path.is_dir():
        raise UserError(f"{path} is a folder: choose a checkpoint file in it.")
    if not path.is_file():
        raise UserError(
            f"There is no model or file {path}: choose one of {', '.join(REGISTRY)}, "
            "or give the path of a checkpoint."
        )
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check its rights.") from None


def _move(sam: Sam, device: torch.device) -> Sam:
    try:
        return sam.to(device)
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"The model does not fit in the memory of {device}: close what else uses it, choose a "
            "smaller model, or device 'cpu'."
        ) from error
