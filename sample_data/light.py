"""Three light micrographs: nuclei in fluorescence, a stack of nuclei, cells in phase contrast."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from optics import (
    Image,
    Micrograph,
    Rng,
    cloud,
    irregular_radius,
    offsets,
    relabel,
    scatter,
    shot_noise,
    smooth_noise,
    to_uint16,
    window,
)
from scipy import ndimage

# --- nuclei: wide-field fluorescence -------------------------------------------------------------


def nuclei(rng: Rng) -> Micrograph:
    """Stained nuclei, some of them touching, with haze from above and below the focus."""
    shape = (640, 640)
    radii = rng.normal(20, 3, 135).clip(12, 29)
    centres = scatter(rng, shape, radii, gap=0.93, margin=-8)
    stain, labels = np.zeros(shape), np.zeros(shape, int)
    closeness = np.zeros(shape)  # to the centre of the nucleus that has the pixel, 1 there
    for k, (centre, radius) in enumerate(zip(centres, radii, strict=True), start=1):
        if np.isnan(centre).any():
            continue
        part = window(centre, 1.9 * radius, shape)
        inside = 1 - _ovoid(rng, radius, offsets(part, centre))
        nearest = inside > closeness[part]
        glow = rng.lognormal(0, 0.3) * _chromatin(rng, inside.shape)
        stain[part][nearest] = (glow * np.clip(inside * 5, 0, 1) ** 0.5)[nearest]
        closeness[part][nearest], labels[part][nearest] = inside[nearest], k
    labels = _largest_piece(labels)
    blurred = ndimage.gaussian_filter(stain, 1.3)
    haze = 0.10 * ndimage.gaussian_filter(stain, 12) + 0.10 * ndimage.gaussian_filter(stain, 45)
    light = (blurred + haze + 0.03) * _vignette(shape)
    counts = 100 + 2600 * shot_noise(rng, light, 240) + rng.normal(0, 12, shape)
    return Micrograph(to_uint16(counts), relabel(labels), (0.325, 0.325), "µm", _count(labels))


def _ovoid(rng: Rng, radius: float, at: list[Image]) -> Image:
    """Return the distance from the centre, relative to that of the outline: 1 on the outline."""
    turn, stretch = rng.uniform(0, np.pi), np.sqrt(rng.uniform(1, 1.55))
    along = (np.cos(turn) * at[-1] + np.sin(turn) * at[-2]) / stretch
    across = (np.cos(turn) * at[-2] - np.sin(turn) * at[-1]) * stretch
    outline = radius * irregular_radius(rng, np.arctan2(across, along), 0.035)
    return np.asarray(np.hypot(along, across) / outline)


def _chromatin(rng: Rng, shape: tuple[int, ...]) -> Image:
    """Return the brightness inside a nucleus: grainy, with a few dark nucleoli."""
    grain = 1 + 0.10 * smooth_noise(rng, shape, 1.6) + 0.10 * smooth_noise(rng, shape, 4)
    spots = smooth_noise(rng, shape, 2.4)
    return np.asarray(grain * (1 - 0.35 * np.clip(spots - 1.5, 0, 1)))


def _vignette(shape: tuple[int, ...]) -> Image:
    row, col = (np.linspace(-1, 1, n) for n in shape)
    return np.asarray(1 - 0.12 * (row[:, None] ** 2 + col[None, :] ** 2))


def _largest_piece(labels: NDArray[np.integer]) -> NDArray[np.integer]:
    """Keep the largest connected piece of every object, if it has at least 30 px."""
    out = np.zeros_like(labels)
    for k, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        pieces, _ = ndimage.label(labels[box] == k)
        sizes = np.bincount(pieces.ravel())[1:]
        if sizes.max() >= 30:
            out[box][pieces == sizes.argmax() + 1] = k
    return out


def _count(labels: NDArray[np.integer]) -> int:
    return len(np.unique(labels[labels > 0]))


# --- nuclei_stack: nuclei in three dimensions -----------------------------------------------------

DEPTH_RATIO = 1.0 / 0.325  # a slice is 1 µm thick, a pixel 0.325 µm wide


def nuclei_stack(rng: Rng) -> Micrograph:
    """Nuclei in a thin tissue: slices blurred along the optical axis and dimmer with depth."""
    shape = (10, 256, 256)
    radii = rng.normal(15.5, 2, 60).clip(11, 20)
    box = (shape[0] * DEPTH_RATIO, *shape[1:])
    centres = scatter(rng, box, radii, gap=0.95, margin=-2) / (DEPTH_RATIO, 1, 1)
    stain, closeness, labels = np.zeros(shape), np.zeros(shape), np.zeros(shape, int)
    for k, (centre, radius) in enumerate(zip(centres, radii, strict=True), start=1):
        if np.isnan(centre).any():
            continue
        part = window(centre, 1.9 * radius, shape)
        depth, *plane = offsets(part, centre)
        distance = np.hypot(_ovoid(rng, radius, plane), 1.15 * depth * DEPTH_RATIO / radius)
        nearest = 1 - distance > closeness[part]
        glow = rng.lognormal(0, 0.22) * _chromatin(rng, distance.shape)
        stain[part][nearest] = glow[nearest]
        closeness[part][nearest], labels[part][nearest] = (1 - distance)[nearest], k
    labels = _largest_piece(labels)
    light = 0.8 * ndimage.gaussian_filter(stain, (0.7, 1.2, 1.2))
    light += 0.2 * ndimage.gaussian_filter(stain, (2.2, 9, 9)) + 0.03
    light *= np.exp(-0.045 * np.arange(shape[0]))[:, None, None]
    counts = 100 + 1800 * shot_noise(rng, light, 130) + rng.normal(0, 10, shape)
    sizes = (1.0, 0.325, 0.325)
    return Micrograph(to_uint16(counts), relabel(labels), sizes, "µm", _count(labels))


# --- phase_cells: phase contrast -----------------------------------------------------------------


def phase_cells(rng: Rng) -> Micrograph:
    """Adherent and rounded-up cells with the halo and shade-off of phase contrast, 16 bit."""
    shape = (704, 704)
    rounded = rng.random(78) < 0.12
    radii = np.where(rounded, rng.normal(17, 2, 78), rng.normal(33, 6, 78).clip(20, 48))
    centres = scatter(rng, shape, radii, gap=0.98, margin=-10)
    phase, labels = np.zeros(shape), np.zeros(shape, int)
    for k, (centre, radius) in enumerate(zip(centres, radii, strict=True), start=1):
        if np.isnan(centre).any():
            continue
        part = window(centre, 2.6 * radius, shape)
        draw = _round_cell if rounded[k - 1] else _spread_cell
        delay = draw(rng, radius, offsets(part, centre))
        on_top = (delay > 0) & (delay > phase[part])
        phase[part][on_top], labels[part][on_top] = delay[on_top], k
    labels = _largest_piece(labels)
    phase *= labels > 0
    counts = _zernike(rng, phase)
    return Micrograph(to_uint16(counts), relabel(labels), (0.65, 0.65), "µm", _count(labels))


def _spread_cell(rng: Rng, radius: float, at: list[Image]) -> Image:
    """Return the optical path (rad) of a flat, elongated cell with protrusions, 0 outside."""
    turn, stretch = rng.uniform(0, np.pi), np.sqrt(rng.uniform(1.2, 3.0))
    along = (np.cos(turn) * at[1] + np.sin(turn) * at[0]) / stretch
    across = (np.cos(turn) * at[0] - np.sin(turn) * at[1]) * stretch
    angle = np.arctan2(across, along)
    outline = 0.92 * radius * _protrusions(rng, angle)
    inside = np.clip(1 - np.hypot(along, across) / outline, 0, None)
    body = 0.30 * np.tanh(6 * inside) + 0.35 * inside
    centre = np.hypot(along * stretch, across) / (0.36 * radius)  # the nucleus is rounder
    nucleus = np.clip(1.25 - centre, 0, 1)
    nucleoli = np.clip(smooth_noise(rng, body.shape, 2.0) - 1.5, 0, None) * (nucleus > 0.3)
    organelles = np.exp(-((centre - 1.3) ** 2)) * (
        0.07 * smooth_noise(rng, body.shape, 1.0) + 0.05 * smooth_noise(rng, body.shape, 2.5)
    )
    rim = np.exp(-(((centre - 1.05) / 0.12) ** 2))
    delay = body + organelles + 0.09 * rim - 0.08 * nucleus + 0.28 * nucleoli
    return np.where(inside > 0, np.maximum(delay * np.clip(8 * inside, 0, 1), 0.02), 0)


def _protrusions(rng: Rng, angle: Image) -> Image:
    """Return the relative radius of a cell with protrusions in two to four directions."""
    outline = 0.8 * irregular_radius(rng, angle, 0.06)
    for direction in rng.uniform(-np.pi, np.pi, rng.integers(2, 5)):
        sharpness = rng.uniform(4, 14)
        outline += rng.uniform(0.2, 0.6) * np.exp(sharpness * (np.cos(angle - direction) - 1))
    return np.asarray(outline)


def _round_cell(rng: Rng, radius: float, at: list[Image]) -> Image:
    """Return the optical path (rad) of a round cell before division: thick, hence bright."""
    distance = np.hypot(*at) / (radius * irregular_radius(rng, np.arctan2(*at), 0.03))
    ball = np.sqrt(np.clip(1 - distance**2, 0, None))
    grain = 1 + 0.10 * smooth_noise(rng, ball.shape, 2.2)
    return np.where(distance < 1, np.maximum(2.5 * ball**0.8 * grain, 0.05), 0)


RING_TRANSMISSION = 0.6  # of the amplitude, by the phase ring


def _zernike(rng: Rng, phase: Image) -> Image:
    """Return camera counts in phase contrast of an object with the optical path `phase` (rad).

    The ring that shifts and dims the direct light also acts on light diffracted by small angles,
    so structures that are smooth over many pixels count as background. This causes the bright halo
    around a cell and the shade-off towards its middle.
    """
    wave = np.exp(1j * ndimage.gaussian_filter(phase, 0.8))
    direct = 0.5 * _low_pass(wave, 7) + 0.5 * _low_pass(wave, 30)
    intensity = np.abs(wave - direct - RING_TRANSMISSION * 1j * direct) ** 2 / RING_TRANSMISSION**2
    dirt = 1 + 0.015 * cloud(rng, phase.shape, (25, 120)) + 0.01 * smooth_noise(rng, phase.shape, 2)
    light = intensity * dirt * (1 - 0.15 * np.linspace(-1, 1, phase.shape[1]) ** 2)
    return 5000 + 9000 * shot_noise(rng, light, 1500)


def _low_pass(wave: NDArray[np.complex128], sigma: float) -> NDArray[np.complex128]:
    real, imag = (ndimage.gaussian_filter(part, sigma) for part in (wave.real, wave.imag))
    return np.asarray(real + 1j * imag)
