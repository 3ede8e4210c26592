"""Images for the evaluation, which were used neither for training nor for calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from skimage import io

from napari_samstar.core.models.pocket import IMAGE_SIZE
from training import real, scoring, synth

if TYPE_CHECKING:
    from pathlib import Path

SEEDS = {"validation": 10_000_000, "test": 20_000_000}  # distinct from the seeds of training
BOXED = "ardagen_stem_boxes"


@dataclass(frozen=True)
class BoxedImage:
    """A micrograph with the boxes of its objects."""

    name: str
    image: np.ndarray  # (H, W) uint8
    boxes: np.ndarray  # (N, 4) float: y0, x0, y1, x1, half open, px


def sets(
    root: Path, split: str, most: int, synthetic: int, side: int
) -> dict[str, list[real.Micrograph]]:
    """Held-out images by set: at most `most` real ones, `synthetic` of each family.

    Images whose long side exceeds `side` px are reduced. The split "test" includes the sets of
    which no image was used for training.
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
    """Synthetic micrographs from the seeds of `split`, as sets named by family."""
    return [
        one_synthetic(split, family, k, size)
        for family in synth.FAMILIES
        for k in range(per_family)
    ]


def one_synthetic(split: str, family: str, k: int, size: int) -> real.Micrograph:
    rng = np.random.default_rng((SEEDS[split], list(synth.FAMILIES).index(family), k))
    made = synth.generate(family, (size, size), rng)
    return real.Micrograph(f"synthetic_{family}", str(k), made.image, made.label())


def boxed(root: Path, most: int) -> list[BoxedImage]:
    """Up to `most` images of the set with boxes."""
    stems = real.splits()["unseen"].get(BOXED, [])[:most]
    return [_one_boxed(root / BOXED, stem) for stem in stems]


def _one_boxed(folder: Path, stem: str) -> BoxedImage:
    (path,) = sorted((folder / "images").glob(f"{stem}.*"))
    boxes = np.loadtxt(folder / "boxes" / f"{stem}.csv", delimiter=",", skiprows=1, ndmin=2)
    return BoxedImage(stem, real.stretch(real.grey(io.imread(path))), boxes)
