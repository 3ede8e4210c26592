"""Real micrographs with ground truth, and their fixed split into training and test images."""

from __future__ import annotations

import json
import os
import random
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from skimage import io

SPLITS = Path(__file__).with_name("splits.json")
ENV = "SAMSTAR_MICROGRAPHS"

OLD_SETS = (
    "ampis_powder_sem", "dsb2018_fluo", "laptrack_c2c12_phase_time", "nasa_meltpool",
    "nasa_superalloy_sem", "stardist_samples", "usiigaci_phase_t98g",
)  # fmt: skip
"""Sets whose test images have been in the tables of tuning since the first version."""

NEW_SETS = (
    "ads_axon_sem", "dsb2018_more", "nanocomposite_agglomerates_sem", "nist_steel_grains_optical",
    "omnipose_bacteria_phase", "pfc_neuron_bf", "plantseg_ovule_3d", "wsu_chloroplast_em",
    "wsu_sieve_pores_sem", "yeastvision_phase_time",
)  # fmt: skip

DESIGN_SETS = tuple(sorted(random.Random(16).sample(NEW_SETS, 5)))
"""The half of the new sets, drawn once, on which rewards may be designed."""

FINAL_SETS = tuple(name for name in NEW_SETS if name not in DESIGN_SETS)
"""The other half, which is looked at once, in the end."""


@dataclass(frozen=True)
class Micrograph:
    """One 8-bit image with labelled instances."""

    set_name: str
    name: str
    image: np.ndarray  # (H, W) uint8, stretched to percentiles 0.1 to 99.9
    label: np.ndarray  # (H, W) int32, 0 is background


def folder(path: str | Path | None = None) -> Path:
    """The micrographs' folder: the argument, or the environment variable `SAMSTAR_MICROGRAPHS`."""
    chosen = path or os.environ.get(ENV)
    if not chosen or not Path(chosen).is_dir():
        raise SystemExit(f"No micrographs at {chosen!r}: pass --micrographs or set {ENV}.")
    return Path(chosen)


def splits() -> dict[str, dict[str, list[str]]]:
    """`{split: {set: [file stem, ...]}}` with the splits train, validation, test and unseen."""
    return json.loads(SPLITS.read_text())


def load(root: Path, split: str) -> list[Micrograph]:
    """Every image of `split`, in a fixed order."""
    return [
        load_one(root / set_name, stem)
        for set_name, stems in sorted(splits()[split].items())
        for stem in stems
    ]


def load_one(set_folder: Path, stem: str) -> Micrograph:
    (image_path,) = sorted((set_folder / "images").glob(f"{stem}.*"))
    image = io.imread(image_path)
    label = io.imread(set_folder / "masks" / f"{stem}.tif").astype(np.int32)
    return Micrograph(set_folder.name, stem, stretch(grey(image)), label)


def grey(image: np.ndarray) -> np.ndarray:
    return image[..., :3].mean(-1) if image.ndim == 3 else image


def stretch(image: np.ndarray, low: float = 0.1, high: float = 99.9) -> np.ndarray:
    """Percentile stretch to (H, W) uint8, as by default in the plugin."""
    a, b = np.percentile(image, (low, high))
    scaled = np.clip((image.astype(np.float32) - a) / max(b - a, 1e-6), 0, 1)
    return np.round(255 * scaled).astype(np.uint8)


OBJECT_SCALE_SHARE = 0.5  # share of crops whose scale is set by the objects, not by the image
TURNED_SHARE = 0.4  # of crops are turned by any angle and stretched
OBJECT_SIDES = (14.0, 110.0)  # px of the frame, range of the median object's side in such crops


def crop(
    source: Micrograph, size: int, frame: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A random crop of (size, size) px, smaller if the image is, at one of two kinds of scale.

    Either the long side of the whole image has about `frame` px, as when an image is segmented
    without tiles. Or the side of the median object is within `OBJECT_SIDES`, as in a tile; without
    these crops small objects of large images would not be learned.
    """
    h, w = source.image.shape
    scale = frame / max(h, w) * np.exp(rng.uniform(-0.25, 0.6))
    if size == frame:
        scale = frame / max(h, w) * np.exp(rng.uniform(-0.2, 0.35))
    by_object = rng.random() < OBJECT_SCALE_SHARE
    if by_object:
        side = np.exp(rng.uniform(*np.log(OBJECT_SIDES)))
        # at least half the scale of the whole image, and at most fourfold magnification
        scale = float(np.clip(side / median_side(source), 0.5 * frame / max(h, w), 4.0))
    new = (max(round(w * scale), 16), max(round(h * scale), 16))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image = cv2.resize(source.image, new, interpolation=how)
    label = cv2.resize(source.label, new, interpolation=cv2.INTER_NEAREST)
    r, c = (int(rng.integers(0, max(n - size, 0) + 1)) for n in (new[1], new[0]))
    if by_object and label.any():  # most of a magnified image may be empty
        r, c = _around_an_object(label, size, rng)
    if rng.random() < TURNED_SHARE and min(new) > size // 2:
        return _turned(image, label, (r, c), size, rng)
    window = (slice(r, r + size), slice(c, c + size))
    return image[window], label[window]


def _turned(
    image: np.ndarray, label: np.ndarray, corner: tuple[int, int], size: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """The window at `corner`, turned about its middle and stretched; mirrored at the border."""
    rows, cols = (min(size, n) for n in image.shape)
    turn, stretched = rng.uniform(0, 2 * np.pi), np.exp(rng.uniform(-0.2, 0.2))
    cos, sin = np.cos(turn), np.sin(turn)
    matrix = np.array([[cos, -sin], [sin, cos]]) @ np.diag([stretched, 1 / stretched])
    middle = np.array([corner[1] + cols / 2, corner[0] + rows / 2])
    shift = middle - matrix @ [cols / 2, rows / 2]
    warp = np.column_stack([matrix, shift])
    made = []
    for plane, how in ((image, cv2.INTER_LINEAR), (label.astype(np.float32), cv2.INTER_NEAREST)):
        flags = how | cv2.WARP_INVERSE_MAP
        made.append(
            cv2.warpAffine(plane, warp, (cols, rows), flags=flags, borderMode=cv2.BORDER_REFLECT)
        )
    return made[0], made[1].astype(np.int32)


def median_side(source: Micrograph) -> float:
    """Square root of the median object's area, px; the image's long side if it has no objects."""
    areas = np.bincount(source.label.ravel())[1:]
    areas = areas[areas > 0]
    return float(np.sqrt(np.median(areas))) if len(areas) else float(max(source.image.shape))


def _around_an_object(label: np.ndarray, size: int, rng: np.random.Generator) -> tuple[int, int]:
    """Upper left corner of a window that contains a random pixel of an object."""
    pixels = np.flatnonzero(label)
    at = divmod(int(rng.choice(pixels)), label.shape[1])
    corner = (a - int(rng.integers(size)) for a in at)
    r, c = (int(np.clip(a, 0, max(n - size, 0))) for a, n in zip(corner, label.shape, strict=True))
    return r, c
