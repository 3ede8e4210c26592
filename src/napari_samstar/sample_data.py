"""Synthetic micrographs with exact ground truth, for File > Open Sample, tests and benchmarks.

They are in the top-level folder `sample_data`, with the script that makes them. An installation
has a copy in the data-only package `napari_samstar_data`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_samstar.core.errors import UserError

LayerData: TypeAlias = tuple[NDArray[Any], dict[str, Any], str]

_CHECKOUT = Path(__file__).parents[2] / "sample_data"


@dataclass(frozen=True)
class SampleInfo:
    """Metadata of a sample.

    Attributes
    ----------
    name, title, description : str
        Key, heading, and one or two sentences.
    shape : tuple of int
        (H, W) or (Z, H, W).
    dtype : str
        Of the image; labels are uint16.
    pixel_size : tuple of float
        One per axis, in `unit`.
    unit : str
        "nm" or "µm".
    n_objects : int
        Number of labelled objects.
    n_true : int
        Number of objects in the scene, including those hidden below others.
    seed : int
        Random seed of the sample.
    licence : str
        SPDX identifier.
    """

    name: str
    title: str
    description: str
    shape: tuple[int, ...]
    dtype: str
    pixel_size: tuple[float, ...]
    unit: str
    n_objects: int
    n_true: int
    seed: int
    licence: str


def names() -> tuple[str, ...]:
    """Return the names of the samples, in the order of the menu."""
    return tuple(_index())


def info(name: str) -> SampleInfo:
    """Return the metadata of a sample, without reading its pixels.

    Raises
    ------
    UserError
        If there is no such sample.
    """
    try:
        return _index()[name]
    except KeyError:
        raise UserError(
            f"There is no sample '{name}': choose one of {', '.join(_index())}."
        ) from None


def path(name: str) -> Path:
    """Return the TIFF file of a sample's image."""
    return _folder() / f"{info(name).name}.tif"


def labels_path(name: str) -> Path:
    """Return the TIFF file of a sample's ground truth."""
    return _folder() / f"{info(name).name}_labels.tif"


def load(name: str) -> tuple[NDArray[Any], NDArray[np.uint16], SampleInfo]:
    """Return a sample's image, ground truth and metadata.

    Returns
    -------
    image : ndarray of shape (H, W) or (Z, H, W)
        uint8 or uint16 counts.
    labels : uint16 ndarray of the same shape
        0 is background. Where objects overlap, the pixel belongs to the upper one.
    info : SampleInfo
    """
    image, labels = tifffile.imread(path(name)), tifffile.imread(labels_path(name))
    return np.asarray(image), np.asarray(labels, np.uint16), info(name)


@cache
def _folder() -> Path:
    """Return the folder of the samples: of the installation, else of the checkout."""
    try:
        installed: Traversable = files("napari_samstar_data") / "sample_data"
        with as_file(installed) as folder:
            if (folder / "samples.json").is_file():
                return Path(folder)
    except (ModuleNotFoundError, FileNotFoundError):
        pass
    if (_CHECKOUT / "samples.json").is_file():
        return _CHECKOUT
    raise UserError("The sample images are missing: install napari-samstar again.")


@cache
def _index() -> dict[str, SampleInfo]:
    entries = json.loads((_folder() / "samples.json").read_text(encoding="utf-8"))
    return {name: _sample_info(name, entry) for name, entry in entries.items()}


def _sample_info(name: str, entry: dict[str, Any]) -> SampleInfo:
    tuples = {key: tuple(entry[key]) for key in ("shape", "pixel_size")}
    return SampleInfo(name=name, **{**entry, **tuples})


# --- napari's File > Open Sample (see napari.yaml) ----------------------------------------------


def open_nanocrystals() -> list[LayerData]:
    """Open overlapping nanocrystals in TEM."""
    return _layers("nanocrystals")


def open_facets() -> list[LayerData]:
    """Open faceted oxide particles in SEM."""
    return _layers("facets")


def open_aggregates() -> list[LayerData]:
    """Open small particles beside aggregates in HAADF."""
    return _layers("aggregates")


def open_nuclei() -> list[LayerData]:
    """Open touching nuclei in fluorescence."""
    return _layers("nuclei")


def open_nuclei_stack() -> list[LayerData]:
    """Open a fluorescence stack of nuclei."""
    return _layers("nuclei_stack")


def open_phase_cells() -> list[LayerData]:
    """Open cells in phase contrast."""
    return _layers("phase_cells")


def _layers(name: str) -> list[LayerData]:
    """Return the image and its hidden ground truth as napari layers in physical units."""
    image, labels, sample = load(name)
    calibration = {"scale": sample.pixel_size, "units": (sample.unit,) * image.ndim}
    metadata = {"sample": name, "description": sample.description, "n_true": sample.n_true}
    return [
        (image, {"name": name, **calibration, "metadata": metadata}, "image"),
        (labels, {"name": f"{name} ground truth", **calibration, "visible": False}, "labels"),
    ]
