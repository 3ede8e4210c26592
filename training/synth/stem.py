"""HAADF-STEM: intensity grows with thickness and about Z^1.7; dark background, scan noise."""

from __future__ import annotations

import numpy as np

from training.synth.camera import record, texture
from training.synth.sample import Sample, transparent_masks
from training.synth.scene import median_diameter, place


def dark_field(shape: tuple[int, int], rng: np.random.Generator) -> Sample:
    """Bright particles of one or two elements on a faint support."""
    patches = place(
        shape, rng,
        kinds=("disk", "ellipse", "facet", "blob", "rod"),
        overlap=float(rng.choice((0.02, 0.15, 0.4))),
        median=median_diameter(shape, rng, low=5, high=0.35),
    )  # fmt: skip
    image = np.zeros(shape, np.float32)
    elements = rng.uniform(0.35, 1.0, int(rng.integers(1, 3))) ** 1.7
    core = rng.uniform(0.4, 0.75) if rng.random() < 0.2 else 0.0
    for patch in patches:
        frame, own = patch.clipped(shape)
        rho = patch.rho[own]
        signal = np.sqrt(np.clip(1 - rho**2, 0, None)) ** rng.uniform(0.5, 1.2)
        if core:
            signal = 0.5 * signal + np.sqrt(np.clip(1 - (rho / core) ** 2, 0, None))
        image[frame] += rng.choice(elements) * signal
    support = texture(shape, rng.uniform(8, 60), rng)
    image += rng.uniform(0, 0.25) * np.clip(support, 0, None)
    image += rng.uniform(0, 0.08) * texture(shape, rng.uniform(1, 3), rng)
    return Sample(record(image, rng, noise=1.3), transparent_masks(patches, shape))
