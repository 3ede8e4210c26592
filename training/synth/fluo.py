"""Fluorescence: nuclei and cells, out-of-focus haze, few photons."""

from __future__ import annotations

import numpy as np

from training.synth.camera import blur, record, texture
from training.synth.sample import Sample, opaque_masks
from training.synth.scene import median_diameter, place


def nuclei(shape: tuple[int, int], rng: np.random.Generator) -> Sample:
    """Bright, textured nuclei of varying brightness, often touching."""
    median = median_diameter(shape, rng, low=9, high=0.4)
    patches = place(
        shape, rng,
        kinds=("ellipse", "blob", "ellipse", "disk", "cell"),
        overlap=float(rng.choice((0.02, 0.12, 0.25))),
        median=median,
        spread=rng.uniform(0.05, 0.3),
    )  # fmt: skip
    image = np.zeros(shape, np.float32)
    grain = 1 + rng.uniform(0, 0.3) * texture(
        shape, max(median * rng.uniform(0.03, 0.15), 0.8), rng
    )
    vary = rng.uniform(0.1, 0.7)
    domed = rng.uniform(0, 1)
    for patch in patches:
        frame, own = patch.clipped(shape)
        rho = patch.rho[own]
        tone = np.exp(vary * rng.normal()) * (1 - domed * np.clip(rho, 0, 1) ** 2 * 0.7)
        image[frame] = np.where(rho < 1, tone * grain[frame], image[frame])
    image = blur(image, rng.uniform(0.3, 0.05 * median + 0.8))
    image += rng.uniform(0, 0.5) * blur(image, median * rng.uniform(0.5, 2))
    image += rng.uniform(0, 0.2) * (1 + 0.3 * texture(shape, 40, rng))
    return Sample(record(image, rng, invert=0.1), opaque_masks(patches, shape))
