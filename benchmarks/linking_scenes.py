"""Drawn stacks and movies whose true ids are known, to choose the settings of linking by.

Nothing here is drawn after the micrographs on which linking is judged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

Labels = NDArray[np.int32]

SIDE, FRAMES = 320, 12  # px, planes


@dataclass(frozen=True, eq=False)
class Scene:
    """True labels of each plane, (H, W), the same id for the same object, and the divisions."""

    planes: list[Labels]
    divisions: dict[int, tuple[int, int]] = field(default_factory=dict)


@dataclass
class _Cell:
    at: NDArray[np.float64]
    radius: float
    label: int


def movie(seed: int, step: float = 0.2, growth: float = 0.0, drift: float = 0.0) -> Scene:
    """Return dense cells that wander, divide, enter and leave.

    Parameters
    ----------
    step : float
        Standard deviation of a cell's own step, in radii per frame.
    growth : float
        All distances grow by this share per frame, as in a colony; cells near the edge move most.
    drift : float
        The whole frame shifts by up to this many radii per frame, as a stage does.
    """
    rng = np.random.default_rng(seed)
    cells = [_Cell(rng.uniform(0, SIDE, 2), rng.uniform(8, 14), k + 1) for k in range(70)]
    cells = _apart(cells)
    next_label, divisions, planes = 71, {}, []
    for _ in range(FRAMES):
        planes.append(_painted(cells))
        shift = rng.uniform(-drift, drift, 2) * 11
        grown: list[_Cell] = []
        for cell in cells:
            at = SIDE / 2 + (cell.at - SIDE / 2) * (1 + growth) + shift
            at = at + rng.normal(0, step * cell.radius, 2)
            if rng.random() < 0.03 and cell.radius > 9:
                angle = rng.uniform(0, np.pi)
                half = 0.6 * cell.radius * np.array([np.sin(angle), np.cos(angle)])
                divisions[cell.label] = (next_label, next_label + 1)
                for sign in (-1, 1):
                    grown.append(_Cell(at + sign * half, cell.radius * 0.72, next_label))
                    next_label += 1
            else:
                grown.append(_Cell(at, min(cell.radius * 1.01, 14), cell.label))
        cells = [c for c in grown if rng.random() > 0.01]
        if rng.random() < 0.5:
            cells.append(_Cell(rng.uniform(0, SIDE, 2), 10.0, next_label))
            next_label += 1
        cells = _apart(cells)
    return Scene(planes, divisions)


def _apart(cells: list[_Cell], rounds: int = 8) -> list[_Cell]:
    """Push cells that overlap away from each other."""
    at = np.array([c.at for c in cells])
    radii = np.array([c.radius for c in cells])
    for _ in range(rounds):
        gap = at[:, None] - at[None]
        distance = np.hypot(*np.moveaxis(gap, 2, 0)) + np.eye(len(at)) * 1e9
        want = 0.95 * (radii[:, None] + radii[None])
        push = np.where(distance < want, (want - distance) / 2, 0) / np.maximum(distance, 1e-6)
        at = at + 0.5 * (gap * push[..., None]).sum(1)
    return [_Cell(a, c.radius, c.label) for a, c in zip(at, cells, strict=True)]


def _painted(cells: list[_Cell]) -> Labels:
    """Paint discs; a pixel inside several belongs to the nearest relative to its size."""
    best = np.ones((SIDE, SIDE))
    labels = np.zeros((SIDE, SIDE), np.int32)
    rows, cols = np.ogrid[:SIDE, :SIDE]
    for cell in cells:
        distance = np.hypot(rows - cell.at[0], cols - cell.at[1]) / cell.radius
        nearer = distance < best
        best[nearer], labels[nearer] = distance[nearer], cell.label
    return labels


def tissue(seed: int, spacing: float = 2.0, wall: float = 0.0) -> Scene:
    """Return planes through touching cells of 3-D Voronoi shape, some of them missing.

    Parameters
    ----------
    spacing : float
        Distance of planes, px; a cell is about 24 px wide.
    wall : float
        Width of the background between two cells, px; with 0 they touch.
    """
    rng = np.random.default_rng(seed)
    depth = FRAMES * spacing
    seeds = rng.uniform((-20, 0, 0), (depth + 20, SIDE, SIDE), (int(0.13 * (depth + 40)) * 50, 3))
    present = rng.random(len(seeds)) < 0.85
    tree = KDTree(seeds)
    rows, cols = np.mgrid[:SIDE, :SIDE]
    planes = []
    for z in np.arange(FRAMES) * spacing:
        points = np.stack([np.full(rows.size, z), rows.ravel(), cols.ravel()], axis=1)
        distance, which = tree.query(points, k=2)
        inside = present[which[:, 0]] & (distance[:, 1] - distance[:, 0] >= wall)
        planes.append(np.where(inside, which[:, 0] + 1, 0).astype(np.int32).reshape(rows.shape))
    return Scene(planes)


def tubes(seed: int, spacing: float = 3.0) -> Scene:
    """Return planes through tubes that fork along the stack; each fork is one object."""
    rng = np.random.default_rng(seed)
    planes = [np.zeros((SIDE, SIDE), np.int32) for _ in range(FRAMES)]
    rows, cols = np.ogrid[:SIDE, :SIDE]
    taken = np.zeros((SIDE, SIDE), bool)
    for label in range(1, 41):
        at, radius = rng.uniform(25, SIDE - 25, 2), rng.uniform(7, 13)
        slope, fork = rng.normal(0, 0.3, 2), rng.integers(2, 14)
        angle, spread = rng.uniform(0, np.pi), rng.uniform(0.25, 0.5) * spacing
        apart = spread * np.array([np.sin(angle), np.cos(angle)])
        drawn = []
        for k in range(FRAMES):
            middle = at + slope * spacing * k
            arms = [middle] if k < fork else [middle + s * apart * (k - fork) for s in (-1, 1)]
            width = radius if k < fork else radius * 0.75
            disc = np.zeros((SIDE, SIDE), bool)
            for arm in arms:
                disc |= (rows - arm[0]) ** 2 + (cols - arm[1]) ** 2 <= width**2
            drawn.append(disc)
        union = np.logical_or.reduce(drawn)
        if (taken & union).any():
            continue
        taken |= union
        for plane, disc in zip(planes, drawn, strict=True):
            plane[disc] = label
    return Scene(planes)


SCENES: dict[str, tuple[str, Callable[[int], Scene]]] = {
    "cells_still": ("time", lambda seed: movie(seed, step=0.15)),
    "cells_fast": ("time", lambda seed: movie(seed, step=0.6)),
    "colony": ("time", lambda seed: movie(seed, step=0.1, growth=0.05)),
    "stage_drift": ("time", lambda seed: movie(seed, step=0.1, drift=2.5)),
    "tissue": ("depth", lambda seed: tissue(seed)),
    "tissue_coarse": ("depth", lambda seed: tissue(seed, spacing=6.0)),
    "tissue_walls": ("depth", lambda seed: tissue(seed, spacing=4.0, wall=3.0)),
    "tubes": ("depth", lambda seed: tubes(seed)),
}
"""Mode and drawing of each scene."""
