"""Synthetic micrographs with exact ground truth, one file per imaging physics.

`generate(family, shape, rng)` returns a `Sample`; equal seeds give equal samples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from training.synth import (
    brightfield,
    fluo,
    organelles,
    phase,
    precipitates,
    sem,
    stem,
    tem,
    tessellation,
)
from training.synth.camera import bar, record, texture
from training.synth.sample import Sample, without

if TYPE_CHECKING:
    from collections.abc import Callable


def empty(shape: tuple[int, int], rng: np.random.Generator) -> Sample:
    """A textured support without objects."""
    image = texture(shape, rng.uniform(0.7, 4), rng) + texture(shape, rng.uniform(10, 80), rng)
    return Sample(record(image, rng), ())


FAMILIES: dict[str, Callable[[tuple[int, int], np.random.Generator], Sample]] = {
    "tem": tem.bright_field,
    "stem": stem.dark_field,
    "sem": sem.powder,
    "fluo": fluo.nuclei,
    "phase": phase.cells,
    "brightfield": brightfield.cells,
    "tissue": organelles.tissue,
    "alloy": precipitates.alloy,
    "tiles": tessellation.tiles,
    "empty": empty,
}
WEIGHTS = {
    "tem": 4, "stem": 3, "sem": 4, "fluo": 3, "phase": 3, "brightfield": 4, "tissue": 2, "alloy": 2,
    "tiles": 1, "empty": 0.3,
}  # fmt: skip


BAR_SHARE = 0.1  # of the samples have a data bar or scale bar


def generate(family: str, shape: tuple[int, int], rng: np.random.Generator) -> Sample:
    """One sample of `family`, a key of `FAMILIES`, with `shape` (H, W) px."""
    made = FAMILIES[family](shape, rng)
    if rng.random() > BAR_SHARE:
        return made
    image, hidden = bar(made.image, rng)
    return Sample(image, without(made.masks, hidden))


def any_family(rng: np.random.Generator) -> str:
    """A random family name, with probabilities by `WEIGHTS`."""
    names = list(WEIGHTS)
    weights = np.array([WEIGHTS[n] for n in names], float)
    return str(rng.choice(names, p=weights / weights.sum()))
