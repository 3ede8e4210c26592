"""Common parts of the synthetic micrographs: shapes, smooth noise, and cameras.

Lengths are in pixels; images are float64 until the camera converts them to counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Image = NDArray[np.float64]
Labels = NDArray[np.uint16]
Rng = np.random.Generator


@dataclass(frozen=True)
class Micrograph:
    """One synthetic micrograph with its exact ground truth.

    Attributes
    ----------
    image : ndarray of shape (H, W) or (Z, H, W)
        Camera counts, uint8 or uint16.
    labels : uint16 ndarray of the same shape
        0 is background. Where objects overlap, the pixel belongs to the upper one.
    pixel_size : tuple of float
        One per axis, in `unit`.
    unit : str
        "nm" or "µm".
    n_true : int
        Number of objects in the scene, including completely hidden ones.
    """

    image: NDArray[np.uint8] | NDArray[np.uint16]
    labels: Labels
    pixel_size: tuple[float, ...]
    unit: str
    n_true: int


def smooth_noise(rng: Rng, shape: tuple[int, ...], sigma: float | tuple[float, ...]) -> Image:
    """Return Gaussian noise of mean 0 and standard deviation 1, correlated over `sigma` px."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), sigma, mode="wrap")
    return (noise - noise.mean()) / noise.std()


def cloud(rng: Rng, shape: tuple[int, ...], sigmas: tuple[float, ...]) -> Image:
    """Return noise of standard deviation 1 with several scales (px), coarser ones stronger."""
    total = sum(sigma**0.5 * smooth_noise(rng, shape, sigma) for sigma in sigmas)
    return np.asarray(total / np.std(total))


def window(centre: NDArray[np.float64], reach: float, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Return slices of the box within `reach` px of `centre` in an image; it may be empty."""
    low = np.clip(np.floor(centre - reach), 0, shape).astype(int)
    high = np.clip(np.ceil(centre + reach) + 1, 0, shape).astype(int)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def offsets(part: tuple[slice, ...], centre: NDArray[np.float64]) -> list[Image]:
    """Return the signed distance of every pixel of a window from `centre`, one array per axis."""
    grids = np.meshgrid(*(np.arange(s.start, s.stop, dtype=float) for s in part), indexing="ij")
    return [grid - c for grid, c in zip(grids, centre, strict=True)]


def scatter(
    rng: Rng, shape: tuple[int, ...], radii: NDArray[np.float64], gap: float, margin: float = 0.0
) -> NDArray[np.float64]:
    """Return random centres (n, ndim), one per radius; NaN where none fits after 400 tries.

    The distance of two centres is at least `gap` times the sum of their radii, so `gap` < 1
    allows overlaps. Centres are at least `margin` px inside the image.
    """
    span = np.asarray(shape, float)
    centres = np.full((len(radii), len(shape)), np.nan)
    for k, radius in enumerate(radii):
        for _ in range(400):
            candidate = margin + rng.random(len(shape)) * (span - 2 * margin)
            distance = np.linalg.norm(centres[:k] - candidate, axis=1)
            if not np.any(distance < gap * (radii[:k] + radius)):
                centres[k] = candidate
                break
    return centres


def irregular_radius(rng: Rng, angle: Image, amplitude: float, orders: int = 5) -> Image:
    """Return 1 plus a random smooth function of the angle (rad), for an irregular outline."""
    radius = np.ones_like(angle)
    for order in range(2, 2 + orders):
        phase = rng.uniform(0, 2 * np.pi)
        radius += amplitude * rng.normal() / (order - 1) * np.cos(order * angle + phase)
    return radius


def relabel(labels: NDArray[np.integer]) -> Labels:
    """Return the labels renumbered 1, 2, ... without gaps."""
    present = np.unique(labels)
    present = present[present > 0]
    table = np.zeros(int(labels.max()) + 1, np.uint16)
    table[present] = np.arange(1, len(present) + 1)
    return table[labels]


def shot_noise(rng: Rng, signal: Image, per_unit: float) -> Image:
    """Return `signal` with shot noise, for `per_unit` quanta per unit of signal."""
    return rng.poisson(np.maximum(signal, 0) * per_unit) / per_unit


def to_uint8(image: Image, low: float, high: float) -> NDArray[np.uint8]:
    """Map `low` to 0 and `high` to 255."""
    return np.clip(np.rint((image - low) / (high - low) * 255), 0, 255).astype(np.uint8)


def to_uint16(image: Image) -> NDArray[np.uint16]:
    """Round and clip counts to the range of uint16."""
    return np.clip(np.rint(image), 0, 65535).astype(np.uint16)
