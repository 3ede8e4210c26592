"""Make the sample micrographs: ``python sample_data/make_samples.py [--out FOLDER] [NAME ...]``.

Every micrograph is computed from a scene of known objects, so its labels are exact. The images
are compressed TIFF files with ImageJ metadata (pixel size and unit), described in `samples.json`.
Equal seeds give equal files. Licence of the files: CC0.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import electrons
import light
import numpy as np
import tifffile
from optics import Micrograph, Rng

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Entry:
    """The function that makes a sample, and its description."""

    make: Callable[[Rng], Micrograph]
    title: str
    description: str
    seed: int


ENTRIES = {
    "nanocrystals": Entry(
        electrons.nanocrystals,
        "Overlapping nanocrystals (TEM)",
        "Dense cuboid nanocrystals in TEM bright field. Where crystals lie on each other their "
        "contrast adds up; the upper one has the label.",
        1,
    ),
    "facets": Entry(
        electrons.facets,
        "Faceted oxide particles (SEM)",
        "Polyhedral particles in SEM. Facet edges and texture inside a particle tempt a model to "
        "split it.",
        2,
    ),
    "aggregates": Entry(
        electrons.aggregates,
        "Small particles beside aggregates (HAADF)",
        "Alloy particles of 5 to 9 px beside aggregates of 80 to 160 px in STEM HAADF.",
        3,
    ),
    "nuclei": Entry(
        light.nuclei,
        "Touching nuclei (fluorescence)",
        "Stained nuclei in wide-field fluorescence, some touching, with haze and shot noise.",
        4,
    ),
    "nuclei_stack": Entry(
        light.nuclei_stack,
        "Nuclei in depth (fluorescence stack)",
        "A stack of ten slices of nuclei with labels in three dimensions.",
        5,
    ),
    "phase_cells": Entry(
        light.phase_cells,
        "Adherent cells (phase contrast, 16 bit)",
        "Spread and rounded cells in phase contrast with halo and shade-off, 16-bit counts.",
        6,
    ),
}


def write(path: Path, array: np.ndarray[Any, Any], made: Micrograph) -> None:
    """Write a compressed TIFF file with the pixel size in ImageJ metadata."""
    *depth, row, col = made.pixel_size
    metadata: dict[str, Any] = {
        "axes": "ZYX" if depth else "YX",
        "unit": {"µm": "micron"}.get(made.unit, made.unit),
        **({"spacing": depth[0]} if depth else {}),
    }
    tifffile.imwrite(
        path,
        array,
        imagej=True,
        compression="zlib",
        compressionargs={"level": 9},
        resolution=(1 / col, 1 / row),
        resolutionunit="NONE",
        metadata=metadata,
    )


def description(entry: Entry, made: Micrograph) -> dict[str, Any]:
    """Return the entry of a sample in `samples.json`."""
    return {
        "title": entry.title,
        "description": entry.description,
        "shape": list(made.image.shape),
        "dtype": str(made.image.dtype),
        "pixel_size": list(made.pixel_size),
        "unit": made.unit,
        "n_objects": int(np.count_nonzero(np.unique(made.labels))),
        "n_true": made.n_true,
        "seed": entry.seed,
        "licence": "CC0-1.0",
    }


def make(names: list[str], out: Path) -> None:
    """Make the named samples in `out`; entries of others in its `samples.json` are kept."""
    index = out / "samples.json"
    known = json.loads(index.read_text(encoding="utf-8")) if index.exists() else {}
    for name in names:
        entry = ENTRIES[name]
        made = entry.make(np.random.default_rng(entry.seed))
        write(out / f"{name}.tif", made.image, made)
        write(out / f"{name}_labels.tif", made.labels, made)
        known[name] = description(entry, made)
        print(f"{name}: {known[name]['n_objects']} objects, {made.image.dtype} {made.image.shape}")
    ordered = {name: known[name] for name in ENTRIES if name in known}
    index.write_text(json.dumps(ordered, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(ENTRIES))
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the files")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(ENTRIES):
        parser.error(f"no such sample: {', '.join(sorted(unknown))}")
    chosen.out.mkdir(parents=True, exist_ok=True)
    make(chosen.names or list(ENTRIES), chosen.out)
