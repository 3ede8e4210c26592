"""Shapes of particles as patches of `rho`, the distance from the centre relative to the outline."""

from __future__ import annotations

import numpy as np

from training.synth.sample import Patch

KINDS = ("disk", "ellipse", "rod", "facet", "cube", "blob", "cell")


def draw(kind: str, diameter: float, at: tuple[float, float], rng: np.random.Generator) -> Patch:
    """A shape with about the area of a disk of `diameter` px, centred at (row, col)."""
    aspect = _aspect(kind, rng)
    turn = rng.uniform(0, np.pi)
    a, b = diameter / 2 * np.sqrt(aspect), diameter / 2 / np.sqrt(aspect)
    reach = int(np.ceil(max(a, b) * 1.45)) + 2
    row, col = int(np.floor(at[0])), int(np.floor(at[1]))
    yy = (np.arange(-reach, reach + 1, dtype=np.float32) - np.float32(at[0] - row))[:, None]
    xx = (np.arange(-reach, reach + 1, dtype=np.float32) - np.float32(at[1] - col))[None, :]
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    u, v = xx * cos + yy * sin, yy * cos - xx * sin
    angle = np.arctan2(v / np.float32(b), u / np.float32(a))
    rho = _rod(u, v, a, b) if kind == "rod" else np.hypot(u / a, v / b) / _outline(kind, angle, rng)
    return Patch(row - reach, col - reach, rho.astype(np.float32), angle.astype(np.float32))


def _aspect(kind: str, rng: np.random.Generator) -> float:
    low, high = {
        "disk": (1.0, 1.05),
        "ellipse": (1.1, 2.2),
        "rod": (2.0, 7.0),
        "facet": (1.0, 1.4),
        "cube": (1.0, 1.15),
        "blob": (1.0, 1.7),
        "cell": (1.0, 4.0),
    }[kind]
    return float(rng.uniform(low, high))


def _rod(u: np.ndarray, v: np.ndarray, a: float, b: float) -> np.ndarray:
    along = np.maximum(np.abs(u) - (a - b), 0)
    return np.hypot(along, v) / b


def _outline(kind: str, angle: np.ndarray, rng: np.random.Generator) -> np.ndarray | float:
    if kind in ("disk", "ellipse"):
        return 1.0
    if kind == "facet":
        return _polygon(angle, int(rng.integers(3, 9)), rng.uniform(0, 0.5))
    if kind == "cube":
        return _polygon(angle, 6 if rng.random() < 0.3 else 4, rng.uniform(0.05, 0.5))
    rough = rng.uniform(0.02, 0.18) if kind == "blob" else rng.uniform(0.08, 0.3)
    return _wavy(angle, rough, rng)


def _polygon(angle: np.ndarray, sides: int, roundness: float) -> np.ndarray:
    step = 2 * np.pi / sides
    sharp = np.cos(step / 2) / np.cos(np.mod(angle, step) - step / 2)
    sharp *= np.sqrt(step / np.sin(step))  # scaled to the area of the unit disk
    return sharp * (1 - roundness) + roundness


def _wavy(angle: np.ndarray, rough: float, rng: np.random.Generator) -> np.ndarray:
    out = np.ones_like(angle)
    for k in range(2, 7):
        amplitude = rough * rng.normal() / (k - 1) ** 0.7
        out += np.float32(amplitude) * np.cos(k * angle + np.float32(rng.uniform(0, 6.28)))
    return np.clip(out, 0.4, 1.4)
