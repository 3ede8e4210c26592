"""Three electron micrographs: TEM bright field, SEM secondary electrons, STEM HAADF."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from optics import (
    Image,
    Micrograph,
    Rng,
    cloud,
    offsets,
    relabel,
    scatter,
    shot_noise,
    smooth_noise,
    to_uint8,
    window,
)
from scipy import ndimage
from scipy.spatial.transform import Rotation

# --- nanocrystals: TEM bright field -------------------------------------------------------------


def nanocrystals(rng: Rng) -> Micrograph:
    """Cuboid nanocrystals on carbon film; where they overlap their contrast adds up."""
    shape = (640, 640)
    edges = rng.normal(37, 5, (230, 1)).clip(24, 52) * rng.normal(1, 0.09, (230, 3))
    centres = scatter(rng, shape, edges.mean(axis=1) / 2, gap=0.94)
    absorbed, labels = np.zeros(shape), np.zeros(shape, int)
    n_true = 0
    for centre, edge in zip(centres, edges, strict=True):
        if np.isnan(centre).any():
            continue
        part = window(centre, np.linalg.norm(edge) / 2, shape)
        thickness = _cuboid(rng, edge, offsets(part, centre))
        bragg = rng.choice([1.0, 1.0, 1.0, 1.9]) * rng.lognormal(0, 0.16)
        absorbed[part] += 0.0145 * bragg * thickness
        n_true += 1
        labels[part][thickness > 1.5] = n_true
    film = 0.028 * smooth_noise(rng, shape, 1.1) + 0.03 * cloud(rng, shape, (40, 90))
    wave = np.exp(-ndimage.gaussian_filter(absorbed, 0.8) + film)
    image = _fresnel(wave)
    return Micrograph(
        to_uint8(shot_noise(rng, image, 330), 0.2, 1.22),
        relabel(labels),
        (0.32, 0.32),
        "nm",
        n_true,
    )


def _cuboid(rng: Rng, edge: NDArray[np.float64], at: list[Image]) -> Image:
    """Return the path length (px) of vertical rays through a cuboid that lies nearly flat.

    A ray is inside the cuboid from the last of the three pairs of faces that it enters to the first
    pair that it leaves.
    """
    tilt = rng.normal(0, 5, 2) if rng.random() < 0.92 else rng.normal(0, 16, 2)
    turn = Rotation.from_euler("zyx", [rng.uniform(0, 90), *tilt], degrees=True).as_matrix()
    enter, leave = np.full(at[0].shape, -np.inf), np.full(at[0].shape, np.inf)
    for axis, half in zip(turn, edge / 2, strict=True):
        across, along = axis[0] * at[0] + axis[1] * at[1], axis[2] or 1e-9
        one, two = (-half - across) / along, (half - across) / along
        enter, leave = (
            np.maximum(enter, np.minimum(one, two)),
            np.minimum(leave, np.maximum(one, two)),
        )
    return np.clip(leave - enter, 0, edge.max() * 1.5)


def _fresnel(wave: Image) -> Image:
    """Return the image slightly under focus: edges have a bright fringe outside, dark inside."""
    return wave - 0.9 * (ndimage.gaussian_laplace(wave, 1.4))


# --- facets: SEM secondary electrons ------------------------------------------------------------


def facets(rng: Rng) -> Micrograph:
    """Polyhedral oxide particles whose facet edges and texture resemble particle borders."""
    shape = (640, 640)
    radii = np.sort(rng.normal(35, 10, 300).clip(17, 58))[::-1]
    centres = scatter(rng, shape, radii, gap=0.72)
    radii, centres = radii[~np.isnan(centres[:, 0])], centres[~np.isnan(centres[:, 0])]
    solids = [_planes(rng, radius) for radius in radii]
    lift = rng.uniform(-45, 35, len(radii))
    keep = np.ones(len(radii), bool)
    for _ in range(3):  # remove particles that are mostly hidden, which uncovers others
        height, labels, shown = _pile(shape, centres, solids, lift, keep)
        keep &= shown > 0.4
    height, labels, _ = _pile(shape, centres, solids, lift, keep)
    image = _secondary_electrons(rng, height, labels)
    return Micrograph(to_uint8(image, 0, 1), relabel(labels), (1.8, 1.8), "nm", int(keep.sum()))


def _planes(rng: Rng, radius: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return unit normals (n, 3) and distances (n,) of the faces of a convex polyhedron."""
    normals = rng.normal(size=(26, 3)) * (1, 1, 0.9)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return normals, radius * rng.uniform(0.82, 1.08, 26)


def _pile(
    shape: tuple[int, int],
    centres: NDArray[np.float64],
    solids: list[tuple[NDArray[np.float64], NDArray[np.float64]]],
    lift: NDArray[np.float64],
    keep: NDArray[np.bool_],
) -> tuple[Image, NDArray[np.int64], NDArray[np.float64]]:
    """Return the height map seen from above, its labels, and the visible share of each particle."""
    height, labels = np.full(shape, -70.0), np.zeros(shape, int)
    area = np.zeros(len(centres))
    for k in np.flatnonzero(keep):
        normals, distances = solids[k]
        part = window(centres[k], 1.5 * distances.max(), shape)
        top = _top(normals, distances, offsets(part, centres[k])) + lift[k]
        area[k] = np.isfinite(top).sum()
        above = top > height[part]
        height[part][above], labels[part][above] = top[above], k + 1
    shown = np.bincount(labels.ravel(), minlength=len(centres) + 1)[1:] / np.maximum(area, 1)
    return height, labels, shown


def _top(normals: NDArray[np.float64], distances: NDArray[np.float64], at: list[Image]) -> Image:
    """Return the height of the upper surface of a polyhedron, -inf outside of it."""
    top, bottom = np.full(at[0].shape, np.inf), np.full(at[0].shape, -np.inf)
    for (row, col, up), distance in zip(normals, distances, strict=True):
        plane = (distance - row * at[0] - col * at[1]) / up
        top, bottom = (
            (np.minimum(top, plane), bottom) if up > 0 else (top, np.maximum(bottom, plane))
        )
    return np.where((top > bottom) & np.isfinite(top), top, -np.inf)


def _secondary_electrons(rng: Rng, height: Image, labels: NDArray[np.int64]) -> Image:
    """Return the electron yield: higher from steep faces and edges, lower from hollows."""
    surface = ndimage.gaussian_filter(height, 1.0)
    down, right = np.gradient(surface)
    slope = np.hypot(down, right)
    tilt = 1 / np.sqrt(1 + slope**2)  # cosine between the surface normal and the beam
    toward = (0.35 * right - 0.5 * down) / np.sqrt(1 + slope**2)  # the detector is up and right
    yield_ = 0.36 + 0.10 * (1 / np.maximum(tilt, 0.25) - 1) + 0.17 * toward
    hollow = np.clip((ndimage.gaussian_filter(height, 14) - height) / 40, 0, 1.3)
    above = ndimage.maximum_filter(surface, 9) - surface  # a higher neighbour shadows the detector
    contact = ndimage.gaussian_filter(np.clip(above / 26 - 0.35, 0, 1), 1.2)
    edge = np.clip(surface - ndimage.gaussian_filter(height, 5), 0, 6) / 6
    texture = 0.035 * smooth_noise(rng, height.shape, 1.6) + 0.02 * smooth_noise(
        rng, height.shape, 5
    )
    image = (yield_ + 0.10 * edge + texture) * (1 - 0.5 * hollow) * (1 - 0.45 * contact)
    image = np.where(labels > 0, image, 0.10 + 0.25 * image)
    image = ndimage.gaussian_filter(image, 0.8) * (1 + 0.05 * cloud(rng, height.shape, (150,)))
    return shot_noise(rng, image, 260)


# --- aggregates: STEM HAADF ---------------------------------------------------------------------


def aggregates(rng: Rng) -> Micrograph:
    """Particles of a few pixels beside aggregates twenty times their size."""
    shape = (768, 768)
    radii = np.concatenate([rng.uniform(44, 76, 9), rng.uniform(2.6, 4.6, 240)])
    centres = scatter(rng, shape, radii, gap=1.35, margin=6)
    mass, labels = np.zeros(shape), np.zeros(shape, int)
    n = 0
    for centre, radius in zip(centres, radii, strict=True):
        if np.isnan(centre).any():
            continue
        n += 1
        make = _aggregate if radius > 20 else _particle
        part, thickness, inside = make(rng, centre, radius, shape)
        mass[part] += thickness
        labels[part][inside] = n
    film = 9 + 1.2 * cloud(rng, shape, (30, 120)) + 0.7 * smooth_noise(rng, shape, 1.2)
    signal = 300 * (1 - np.exp(-mass / 95)) + film
    signal = ndimage.gaussian_filter(signal, 0.8)
    image = _scan(rng, shot_noise(rng, signal, 0.9))
    return Micrograph(to_uint8(image, 0, 215), relabel(labels), (0.9, 0.9), "nm", n)


def _particle(
    rng: Rng, centre: NDArray[np.float64], radius: float, shape: tuple[int, int]
) -> tuple[tuple[slice, ...], Image, NDArray[np.bool_]]:
    """Return (window, thickness, mask) of one small, slightly elongated sphere."""
    part = window(centre, 1.6 * radius, shape)
    row, col = offsets(part, centre)
    turn, stretch = rng.uniform(0, np.pi), rng.uniform(1, 1.15)
    along = (np.cos(turn) * col + np.sin(turn) * row) / stretch
    across = (np.cos(turn) * row - np.sin(turn) * col) * stretch
    squared = radius**2 - along**2 - across**2
    return part, rng.lognormal(1.75, 0.2) * np.sqrt(np.maximum(squared, 0)), squared > 0


def _aggregate(
    rng: Rng, centre: NDArray[np.float64], radius: float, shape: tuple[int, int]
) -> tuple[tuple[slice, ...], Image, NDArray[np.bool_]]:
    """Return (window, thickness, mask) of one connected aggregate of 90 spheres."""
    part = window(centre, 1.3 * radius, shape)
    at = offsets(part, centre)
    places, sizes = [np.zeros(2)], [0.4 * radius]
    while len(places) < 90:
        size = radius * rng.uniform(0.10, 0.28)
        near = places[rng.integers(len(places))] + rng.normal(0, 0.32 * radius, 2)
        if np.linalg.norm(near) + size < radius:
            places.append(near)
            sizes.append(size)
    thickness, front = np.zeros(at[0].shape), np.zeros(at[0].shape)
    for place, size in zip(places, sizes, strict=True):
        squared = size**2 - (at[0] - place[0]) ** 2 - (at[1] - place[1]) ** 2
        ball = rng.uniform(0.7, 1.3) * np.sqrt(np.maximum(squared, 0))
        thickness, front = thickness + 0.22 * ball, np.maximum(front, ball)
    thickness += 1.5 * front
    pieces, _ = ndimage.label(thickness > 0)
    inside = pieces == np.bincount(pieces.ravel())[1:].argmax() + 1
    return part, thickness * inside, inside


def _scan(rng: Rng, image: Image) -> Image:
    """Return the image with the small horizontal shifts and gain changes of scan lines."""
    rows, cols = np.indices(image.shape, dtype=float)
    cols += rng.normal(0, 0.22, (len(image), 1))
    gain = 1 + rng.normal(0, 0.008, (len(image), 1))
    return ndimage.map_coordinates(image, [rows, cols], order=1, mode="nearest") * gain
