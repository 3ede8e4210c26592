"""EM of tissue: dark membranes, organelles with inner structure, vesicles, grainy cytoplasm."""

from __future__ import annotations

import numpy as np

from training.synth.camera import record, texture
from training.synth.sample import Sample, transparent_masks
from training.synth.scene import median_diameter, place
from training.synth.tessellation import walls, warped_voronoi


def tissue(shape: tuple[int, int], rng: np.random.Generator) -> Sample:
    """Mitochondria and vesicles, which are the instances, among cell membranes, which are not."""
    image = rng.uniform(0.05, 0.25) * texture(shape, rng.uniform(1, 3), rng)
    image += rng.uniform(0, 0.2) * texture(shape, rng.uniform(6, 30), rng)
    if rng.random() < 0.7:
        cells = warped_voronoi(shape, rng.uniform(0.2, 0.8) * min(shape), rng)
        image[walls(cells, rng.uniform(1, 3))] -= rng.uniform(0.5, 1.2)
    patches = place(
        shape, rng,
        kinds=("blob", "ellipse", "rod", "disk", "cell"),
        coverage=rng.uniform(0.03, 0.35),
        overlap=0.0,
        median=median_diameter(shape, rng, low=8, high=0.35),
    )  # fmt: skip
    wall = rng.uniform(1.0, 3.5)
    fill = rng.uniform(-0.9, 0.5)
    stripes = rng.uniform(0, 0.5)
    for patch in patches:
        frame, own = patch.clipped(shape)
        rho = patch.rho[own]
        inside = rho < 1
        if not inside.any():
            continue
        radius = max(np.sqrt(inside.sum() / np.pi), 2)
        tone = image[frame] * 0.6 + fill + 0.15 * rng.normal()
        phase = np.float32(rng.uniform(3, 9)) * rho + 2 * np.sin(2 * patch.angle[own])
        tone = tone + stripes * np.cos(phase + rng.uniform(0, 6.28))
        tone = np.where(rho > 1 - wall / radius, image[frame] * 0.3 - 1.0, tone)
        image[frame] = np.where(inside, tone, image[frame])
    return Sample(record(image, rng), transparent_masks(patches, shape))
