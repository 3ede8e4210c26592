"""Bright field without stain: rims of light, grainy insides, hardly any difference in grey."""

from __future__ import annotations

import numpy as np

from training.synth.camera import blur, record, texture
from training.synth.sample import Sample, opaque_masks
from training.synth.scene import median_diameter, place


def cells(shape: tuple[int, int], rng: np.random.Generator) -> Sample:
    """Living cells, yeast, bacteria or nuclei in tissue; edges and texture tell them apart."""
    median = median_diameter(shape, rng, low=10, high=0.5)
    patches = place(
        shape, rng,
        kinds=("cell", "blob", "ellipse", "disk", "rod"),
        overlap=float(rng.choice((0.02, 0.05, 0.2))),
        coverage=rng.uniform(0.05, 0.9),
        median=median,
        spread=rng.uniform(0.05, 0.35),
    )  # fmt: skip
    rims = np.zeros(shape, np.float32)
    inside = np.zeros(shape, np.float32)
    level = np.zeros(shape, np.float32)
    # Two rings of opposite sign, one at the outline and one beside it, as out of focus.
    width = rng.uniform(0.6, 2.5) / median * 2
    at, strength = rng.uniform(-0.25, 0.25), rng.choice((-1, 1)) * rng.uniform(0, 1)
    second = -strength * rng.uniform(0, 1.2)
    fill = rng.choice((-1, 1)) * rng.uniform(0, 0.5)
    for patch in patches:
        frame, own = patch.clipped(shape)
        rho = patch.rho[own]
        gain = np.float32(np.exp(0.25 * rng.normal()))
        first = np.exp(-(((rho - 1) / width) ** 2))
        other = np.exp(-(((rho - 1 - at) / (1.5 * width)) ** 2))
        rims[frame] += gain * np.float32(strength) * first + np.float32(second) * other
        level[frame] = np.where(rho < 1, gain * fill, level[frame])
        inside[frame] = np.maximum(inside[frame], rho < 1)
    grain = rng.uniform(0, 0.6) * texture(shape, max(median * rng.uniform(0.03, 0.12), 0.7), rng)
    granules = texture(shape, max(median * rng.uniform(0.03, 0.08), 0.8), rng)
    granules = rng.uniform(-1, 1) * (granules > rng.uniform(1.2, 2.2))
    image = rims + level + inside * (grain + granules)
    image += rng.uniform(0, 0.25) * texture(shape, rng.uniform(0.8, 6), rng)
    image += rng.uniform(0, 0.3) * texture(shape, rng.uniform(20, 80), rng)
    if rng.random() < 0.3:  # debris that is no object
        image += rng.uniform(-1, 1) * (texture(shape, rng.uniform(1, 4), rng) > 2.6)
    image = blur(image, rng.uniform(0.2, 1.2))
    return Sample(record(image, rng, noise=0.6), opaque_masks(patches, shape))
