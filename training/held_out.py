"""What the evaluation looks at: images that neither trained nor calibrated the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from skimage import io

from napari_samstar.core.models.pocket import IMAGE_SIZE
from training import real, scoring, synth

if TYPE_CHECKING:
    from pathlib import Path

SEEDS = {"validation": 10_000_000, "test": 20_000_000}  # training seeds its generator otherwise
BOXED = "ardagen_stem_boxes"


@dataclass(frozen=True)
class Boxed:
    """A micrograph of which only the objects' boxes are known."""

    name: str
    image: np.ndarray  # (H, W) uint8
    boxes: np.ndarray  # (N, 4) float: y0, x0, y1, x1, half open, px


def sets(
    root: Path, split: str, most: int, synthetic: int, side: int
) -> dict[str, list[real.Micrograph]]:
    """Held-out images by set: at most `most` real ones, `synthetic` of each family.

    `side` is the longest side in px; larger images are reduced. With the split "test" come the
    sets that have no part in training at all.
    """
    named = dict(real.splits()[split])
    if split == "test":
        unseen = real.splits()["unseen"]
        named |= {k: v for k, v in unseen.items() if (root / k / "masks").is_dir()}
    out = {
        name: [scoring.at_most(real.load_one(root / name, stem), side) for stem in stems[:most]]
        for name, stems in named.items()
    }
    for source in synthetic_images(split, synthetic):
        out.setdefault(source.set_name, []).append(scoring.at_most(source, side))
    return {name: sources for name, sources in out.items() if sources}


def synthetic_images(split: str, per_family: int, size: int = IMAGE_SIZE) -> list[real.Micrograph]:
    """Synthetic micrographs from seeds kept for `split`, as sets named by family."""
    return [
        one_synthetic(split, family, k, size)
        for family in synth.FAMILIES
        for k in range(per_family)
    ]


def one_synthetic(split: str, family: str, k: int, size: int) -> real.Micrograph:
    rng = np.random.default_rng((SEEDS[split], list(synth.FAMILIES).index(family), k))
    made = synth.generate(family, (size, size), rng)
    return real.Micrograph(f"synthetic_{family}", str(k), made.image, made.label())


def boxed(root: Path, most: int) -> list[Boxed]:
    """Up to `most` images of the set that has boxes instead of masks."""
    stems = real.splits()["unseen"].get(BOXED, [])[:most]
    return [_one_boxed(root / BOXED, stem) for stem in stems]


def _one_boxed(folder: Path, stem: str) -> Boxed:
    (path,) = sorted((folder / "images").glob(f"{stem}.*"))
    boxes = np.loadtxt(folder / "boxes" / f"{stem}.csv", delimiter=",", skiprows=1, ndmin=2)
    return Boxed(stem, real.stretch(real.grey(io.imread(path))), boxes)
