"""Bright-field TEM: mass-thickness contrast, which adds up where particles overlap."""

from __future__ import annotations

import numpy as np

from training.synth.camera import blur, record, texture
from training.synth.sample import Sample, transparent_masks
from training.synth.scene import place


def bright_field(shape: tuple[int, int], rng: np.random.Generator) -> Sample:
    """Particles on a carbon film: Beer-Lambert absorption, diffraction contrast, Fresnel fringe."""
    patches = place(
        shape, rng,
        kinds=("disk", "ellipse", "rod", "facet", "cube", "blob"),
        overlap=float(rng.choice((0.02, 0.15, 0.5))),
    )  # fmt: skip
    depth = np.zeros(shape, np.float32)
    flat = rng.random() < 0.4
    shell = rng.random() < 0.15
    vary = rng.uniform(0, 0.5)
    for patch in patches:
        frame, own = patch.clipped(shape)
        depth[frame] += _thickness(patch.rho[own], flat, shell) * np.exp(vary * rng.normal())
    film = rng.uniform(0.02, 0.15) * texture(shape, rng.uniform(0.8, 4), rng)
    film += rng.uniform(0, 0.15) * texture(shape, rng.uniform(15, 60), rng)
    if rng.random() < 0.15:
        film += 0.5 * (texture(shape, 40, rng) > rng.uniform(0, 1.5))  # a hole, or a thicker film
    contrast = np.exp(rng.uniform(np.log(0.25), np.log(2.5)))
    image = np.exp(-contrast * depth - film)
    if rng.random() < 0.4:
        width = rng.uniform(0.8, 2.5)  # defocus: bright-dark line pair along every edge
        image -= rng.uniform(0.3, 1.5) * (blur(image, width) - image) * rng.choice((-1, 1))
    return Sample(record(image, rng), transparent_masks(patches, shape))


def _thickness(rho: np.ndarray, flat: bool, shell: bool) -> np.ndarray:
    inside = np.sqrt(np.clip(1 - rho**2, 0, None))
    out = (rho < 1).astype(np.float32) if flat else inside
    if shell:
        out = 0.35 * out + 0.9 * np.sqrt(np.clip(1 - (rho / 0.6) ** 2, 0, None))
    return out
