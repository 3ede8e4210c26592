"""SEM, secondary electrons: bright edges, directional shading, shadows, occlusion."""

from __future__ import annotations

import numpy as np

from training.synth.camera import blur, record, texture
from training.synth.sample import Patch, Sample, opaque_masks
from training.synth.scene import median_diameter, place


def powder(shape: tuple[int, int], rng: np.random.Generator) -> Sample:
    """Particles on a stub, from a few to a pile; later ones cover earlier ones."""
    dense = rng.random() < 0.5
    patches = place(
        shape, rng,
        kinds=("disk", "disk", "ellipse", "facet", "cube", "blob", "rod"),
        coverage=rng.uniform(0.6, 1.3) if dense else None,
        overlap=rng.uniform(0.2, 0.65) if dense else 0.15,
        median=median_diameter(shape, rng, low=8, high=0.5),
    )  # fmt: skip
    ground = rng.uniform(0, 0.4)
    image = ground + rng.uniform(0.01, 0.12) * texture(shape, rng.uniform(1, 20), rng)
    height = np.zeros(shape, np.float32)
    appearance = _Appearance(rng)
    for patch in patches:
        appearance.paint(image, height, patch, rng)
    gap = blur((height == 0).astype(np.float32), rng.uniform(1, 6))
    image -= rng.uniform(0, 0.4) * (1 - gap) * (height == 0)  # few electrons leave deep gaps
    image += rng.uniform(0, 0.1) * texture(shape, rng.uniform(0.7, 3), rng) * (height > 0)
    return Sample(record(image, rng, invert=0.05), opaque_masks(patches, shape))


class _Appearance:
    """Random parameters of the electron yield, equal for all particles of an image."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.base = rng.uniform(0.3, 0.7)
        self.edge = rng.uniform(0.05, 0.8)
        self.light = rng.uniform(0, 0.3)
        self.towards = rng.uniform(0, 6.28)
        self.vary = rng.uniform(0, 0.2)
        self.facets = rng.random() < 0.3
        self.satellites = rng.uniform(0, 0.6) if rng.random() < 0.3 else 0.0

    def paint(
        self, image: np.ndarray, height: np.ndarray, patch: Patch, rng: np.random.Generator
    ) -> None:
        frame, own = patch.clipped(image.shape)
        rho, angle = patch.rho[own], patch.angle[own]
        inside = rho < 1
        slope = np.clip(rho, 0, 1) ** 2
        tone = self.base + self.vary * rng.normal() + self.edge * slope / (1.25 - slope) / 2
        if self.facets:
            side = np.floor(angle * 3 / np.pi + rng.uniform(0, 3))
            tone = tone + 0.15 * np.sin(12.9 * side) * (rho > rng.uniform(0.3, 0.7))
        tone = tone + self.light * np.clip(rho, 0, 1) * np.cos(angle - self.towards)
        around = (rho >= 1) & (rho < 1.25)
        image[frame][around] *= 0.75  # shadow on the particles below
        image[frame][inside] = tone[inside]
        height[frame][inside] = 1.0
