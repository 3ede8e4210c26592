"""Etched alloys: cuboidal precipitates with narrow channels, two sizes, weak contrast; pores."""

from __future__ import annotations

import numpy as np

from training.synth.camera import blur, record, texture
from training.synth.sample import Patch, Sample, opaque_masks
from training.synth.scene import median_diameter, place


def alloy(shape: tuple[int, int], rng: np.random.Generator) -> Sample:
    """Densely packed secondary precipitates, and tertiary ones in the channels between them."""
    median = median_diameter(shape, rng, low=10, high=0.4)
    coarse = place(
        shape, rng,
        kinds=("cube", "cube", "blob", "disk", "facet"),
        coverage=rng.uniform(0.3, 0.9),
        overlap=0.0,
        median=median,
        spread=rng.uniform(0.1, 0.4),
    )  # fmt: skip
    patches = coarse + (_tertiary(shape, coarse, median, rng) if rng.random() < 0.4 else [])
    image = np.zeros(shape, np.float32)
    rim, tone = rng.uniform(0, 1.2), rng.choice((-1, 1)) * rng.uniform(0.1, 1)
    vary = rng.uniform(0, 0.3)
    for patch in patches:
        frame, own = patch.clipped(shape)
        rho = patch.rho[own]
        inner = tone + vary * rng.normal() + rim * np.clip(rho, 0, 1) ** 8
        image[frame] = np.where(rho < 1, inner, image[frame])
    image = blur(image, rng.uniform(0.3, 1.5))
    image += rng.uniform(0.05, 0.35) * texture(shape, rng.uniform(0.8, 4), rng)
    image += rng.uniform(0, 0.2) * texture(shape, rng.uniform(10, 50), rng)
    return Sample(record(image, rng), opaque_masks(patches, shape))


def _tertiary(
    shape: tuple[int, int], coarse: list[Patch], median: float, rng: np.random.Generator
) -> list[Patch]:
    taken = np.zeros(shape, bool)
    for patch in coarse:
        frame, own = patch.clipped(shape)
        taken[frame] |= patch.rho[own] < 1.1
    small = place(
        shape, rng, kinds=("disk", "blob"), overlap=0.0,
        median=max(median * rng.uniform(0.15, 0.35), 5), coverage=0.3,
    )  # fmt: skip
    return [p for p in small if not taken[p.clipped(shape)[0]][p.mask[p.clipped(shape)[1]]].any()]
