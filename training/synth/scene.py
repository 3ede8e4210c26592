"""Positions and sizes of particles, and how much they may overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from training.synth import shapes

if TYPE_CHECKING:
    from training.synth.sample import Patch

MAX_PARTICLES = 160  # in one frame, to limit the time


def median_diameter(
    shape: tuple[int, int], rng: np.random.Generator, low: float = 7.0, high: float = 0.6
) -> float:
    """A random diameter in px, log-uniform from `low` px to `high` times the frame's short side."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high * min(shape)))))


def place(
    shape: tuple[int, int],
    rng: np.random.Generator,
    *,
    kinds: tuple[str, ...] = shapes.KINDS,
    coverage: float | None = None,
    overlap: float = 0.1,
    median: float | None = None,
    spread: float | None = None,
) -> list[Patch]:
    """Particles of one or two kinds in a frame (H, W), with log-normal sizes.

    `overlap` is the largest share of a particle that may overlap with earlier ones.
    """
    kinds = tuple(rng.choice(kinds, size=int(rng.integers(1, min(3, len(kinds) + 1)))))
    median = median or median_diameter(shape, rng)
    spread = rng.uniform(0.03, 0.5) if spread is None else spread
    coverage = rng.uniform(0.03, 0.6) if coverage is None else coverage
    count = int(np.clip(coverage * shape[0] * shape[1] / (0.785 * median**2), 1, MAX_PARTICLES))
    layout = _LAYOUTS[int(rng.choice(len(_LAYOUTS), p=(0.5, 0.3, 0.2)))]
    taken = np.zeros(shape, bool)
    placed: list[Patch] = []
    for at in layout(shape, count, median, rng):
        diameter = np.clip(median * np.exp(spread * rng.normal()), 4, 1.2 * min(shape))
        patch = shapes.draw(str(rng.choice(kinds)), float(diameter), at, rng)
        if _claim(taken, patch, overlap):
            placed.append(patch)
    return placed


def _claim(taken: np.ndarray, patch: Patch, overlap: float) -> bool:
    """Mark the pixels of a patch as taken, unless more than `overlap` of them already are."""
    frame, own = patch.clipped(taken.shape)
    mask = patch.mask[own]
    area = mask.sum()
    if area == 0 or (taken[frame] & mask).sum() > overlap * area:
        return False
    taken[frame] |= mask
    return True


def _scattered(
    shape: tuple[int, int], count: int, median: float, rng: np.random.Generator
) -> np.ndarray:
    tries = min(3 * count, 2 * MAX_PARTICLES)
    return rng.uniform(-0.05, 1.05, (tries, 2)) * shape


def _clustered(
    shape: tuple[int, int], count: int, median: float, rng: np.random.Generator
) -> np.ndarray:
    seeds = rng.uniform(0, 1, (int(rng.integers(1, 6)), 2)) * shape
    reach = median * np.sqrt(count / len(seeds)) * rng.uniform(0.4, 0.9)
    tries = min(3 * count, 2 * MAX_PARTICLES)
    return seeds[rng.integers(len(seeds), size=tries)] + reach * rng.normal(size=(tries, 2))


def _chained(
    shape: tuple[int, int], count: int, median: float, rng: np.random.Generator
) -> np.ndarray:
    """Chains of touching particles, each about one diameter from the one before."""
    points = [rng.uniform(0, 1, 2) * shape]
    heading = rng.uniform(0, 6.28)
    for _ in range(min(count * 2, MAX_PARTICLES)):
        if rng.random() < 0.06:
            points.append(rng.uniform(0, 1, 2) * shape)
        heading += rng.normal() * 0.6
        step = median * rng.uniform(0.95, 1.15)
        points.append(points[-1] + step * np.array([np.sin(heading), np.cos(heading)]))
    return np.array(points)


_LAYOUTS = (_scattered, _clustered, _chained)
