"""Other looks of the same objects: what another microscope, or another contrast, would show.

A model that has seen few real images learns how those look. Each style keeps the outlines and
changes how the objects stand out from their surroundings, so that only the outlines can be learned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from training.synth.camera import blur

if TYPE_CHECKING:
    from collections.abc import Callable


def restyle(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One random style on an image (H, W) uint8, mixed with the image itself, as uint8."""
    style = STYLES[int(rng.integers(len(STYLES)))]
    plain = image.astype(np.float32) / 255
    styled = _stretched(style(plain, rng))
    share = np.float32(rng.uniform(0.5, 1.0))
    return np.round(255 * _stretched(share * styled + (1 - share) * plain)).astype(np.uint8)


def _relief(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Differential interference contrast: the slope along one direction."""
    soft = blur(image, rng.uniform(0.5, 2.5))
    rows, cols = np.gradient(soft)
    angle = rng.uniform(0, 2 * np.pi)
    slope = rows * np.float32(np.sin(angle)) + cols * np.float32(np.cos(angle))
    return slope + np.float32(rng.uniform(0, 0.15)) * soft


def _halo(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Phase contrast: the band-pass filter of the phase ring, which makes halos."""
    ring = np.exp(rng.uniform(np.log(3), np.log(40)))
    return image - np.float32(rng.uniform(0.5, 1.0)) * blur(image, float(ring))


def _rims(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Defocused bright field: a bright and a dark line along each edge, and faint insides."""
    near, far = rng.uniform(0.6, 1.5), rng.uniform(2.0, 4.0)
    line = blur(image, near) - blur(image, far)
    return line * rng.choice((-1, 1)) + np.float32(rng.uniform(0, 0.1)) * image


def _edges(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Edge contrast of secondary electrons, or membranes: the size of the slope."""
    rows, cols = np.gradient(blur(image, rng.uniform(0.5, 2.0)))
    edge = np.sqrt(rows**2 + cols**2)
    return edge * rng.choice((-1, 1)) + np.float32(rng.uniform(0, 0.2)) * image


def _curve(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random smooth curve of grey values, which need not rise."""
    knots = np.cumsum(rng.normal(size=6)).astype(np.float32)
    return np.interp(image, np.linspace(0, 1, 6), knots).astype(np.float32)


def _local(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Contrast equalised in tiles."""
    tiles = int(rng.integers(2, 9))
    clahe = cv2.createCLAHE(float(rng.uniform(1.5, 6)), (tiles, tiles))
    made: np.ndarray = clahe.apply(np.round(255 * image).astype(np.uint8))
    return made.astype(np.float32) / 255


def _stretched(image: np.ndarray) -> np.ndarray:
    low, high = np.percentile(image, (0.3, 99.7))
    return np.clip((image - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)


STYLES: tuple[Callable[[np.ndarray, np.random.Generator], np.ndarray], ...] = (
    _relief,
    _halo,
    _rims,
    _edges,
    _curve,
    _local,
)
