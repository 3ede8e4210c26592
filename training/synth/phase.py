"""Phase contrast: grey cells in bright halos, shade-off inside, round bright mitotic cells."""

from __future__ import annotations

import numpy as np

from training.synth.camera import blur, record, texture
from training.synth.sample import Sample, opaque_masks
from training.synth.scene import median_diameter, place


def cells(shape: tuple[int, int], rng: np.random.Generator) -> Sample:
    """Adherent cells; the halo comes from the band-pass filter of the phase ring."""
    median = median_diameter(shape, rng, low=16, high=0.5)
    patches = place(
        shape, rng,
        kinds=("cell", "cell", "blob", "ellipse", "rod"),
        overlap=float(rng.choice((0.02, 0.1, 0.25))),
        median=median,
        spread=rng.uniform(0.1, 0.4),
    )  # fmt: skip
    phase = np.zeros(shape, np.float32)
    inside = np.zeros(shape, np.float32)
    for patch in patches:
        frame, own = patch.clipped(shape)
        rho = patch.rho[own]
        thick = np.clip(1 - rho**2, 0, None) ** rng.uniform(0.3, 1)
        bright = rng.uniform(2, 4) if rng.random() < 0.08 else 1.0
        phase[frame] = np.where(rho < 1, bright * thick * np.exp(0.3 * rng.normal()), phase[frame])
        inside[frame] = np.maximum(inside[frame], rho < 1)
    phase += rng.uniform(0.05, 0.5) * inside * texture(shape, max(0.06 * median, 1.0), rng)
    phase += rng.uniform(0.02, 0.12) * texture(shape, rng.uniform(2, 8), rng)
    ring = median * rng.uniform(0.1, 0.35)
    sharp = blur(phase, rng.uniform(0.3, 1.5))
    image = rng.choice((-1, -1, 1)) * rng.uniform(0.4, 1) * (sharp - blur(sharp, ring))
    image += rng.uniform(0, 0.8) * (blur(inside, ring) - blur(inside, 0.4 * ring))  # halo
    image += rng.uniform(-0.3, 0.3) * inside
    return Sample(record(image, rng, invert=0.1, noise=0.5), opaque_masks(patches, shape))
