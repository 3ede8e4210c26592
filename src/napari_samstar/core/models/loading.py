"""Load a SAM by name or from a file or folder."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import get_args

import pooch

from napari_samstar.core.errors import UserError
from napari_samstar.core.models.backend import LoadedModel, Precision
from napari_samstar.core.models.device import choose_device
from napari_samstar.core.models.downloads import (
    Cancelled,
    DownloadCancelled,
    Report,
    fetch,
    local_file,
    models_folder,
)
from napari_samstar.core.models.families import ModelFamily, other_families
from napari_samstar.core.models.fast import faster
from napari_samstar.core.models.registry import REGISTRY, ModelInfo
from napari_samstar.core.models.sam_family import SamFamily
from napari_samstar.core.models.transformers_family import CONFIG, WEIGHTS

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


def load(
    name_or_path: str | Path = "pocket",
    device: str = "auto",
    precision: Precision = "reference",
    *,
    progress: Report | None = None,
    cancelled: Cancelled | None = None,
) -> LoadedModel:
    """Load a model by its registry name, downloading it if need be, or from a file or folder.

    Parameters
    ----------
    name_or_path : str or Path
        A name in `REGISTRY`; or a .pth, .pt or .safetensors file: Meta's, MobileSAM's, micro-sam's
        or pocket's layout; or a folder with SAM 2.1 or SAM-HQ in Hugging Face's format.
    device : str
        See `napari_samstar.core.models.device.choose_device`.
    precision : {"reference", "fast"}
        "reference" computes in float32, as `segment_anything` does. "fast" computes in half
        precision with fused attention on a GPU, where masks differ in a few pixels; on the CPU it
        changes nothing.
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
    others = {family.name: family for family in other_families()}
    info = REGISTRY.get(str(name_or_path))
    path = fetch(info.name, progress, cancelled) if info else _existing(Path(name_or_path))
    family = _family_of(path, info, others)
    if path.is_dir() and family.name == SamFamily.name:
        raise UserError(
            f"{path} is a folder: choose a checkpoint file in it, or a folder in Hugging Face's "
            f"format ({CONFIG} and {WEIGHTS})."
        )
    backend, architecture = family.load(path, chosen.device)
    reason = chosen.reason
    if precision == "fast":
        backend, note = faster(backend)
        reason = f"{reason} {note}".rstrip()
    return LoadedModel(
        backend=backend,
        name=info.name if info else path.name if path.is_dir() else path.stem,
        architecture=architecture,
        sha256=(info.sha256 if info else None) or file_sha256(_weights_of(path)),
        device=chosen.device,
        path=path,
        device_reason=reason,
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
        return path
    if not path.is_file():
        raise UserError(
            f"There is no model or file {path}: choose one of {', '.join(REGISTRY)}, "
            "or give the path of a checkpoint or of a folder in Hugging Face's format."
        )
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check its rights.") from None


def _weights_of(path: Path) -> Path:
    return path / WEIGHTS if path.is_dir() else path


def _family_of(path: Path, info: ModelInfo | None, others: dict[str, ModelFamily]) -> ModelFamily:
    """Return the family of a named model, or the one that recognises a file; else SAM's.

    SAM's reader says best what is wrong with a file that nobody knows.
    """
    if info is not None and info.family in others:
        return others[info.family]
    if info is None:
        for family in others.values():
            if family.recognises(path):
                return family
    return SamFamily()
