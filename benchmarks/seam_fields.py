"""Drawn fields of objects with known truth, for the benchmark of seams."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

Labels = NDArray[np.int32]
Rng = np.random.Generator
Mask = NDArray[np.bool_]


def discs(side: int, reach: int, rng: Rng) -> Labels:
    """Return small discs, radius 6 to 16 px."""
    truth = np.zeros((side, side), dtype=np.int32)
    _scatter(truth, lambda: _ellipse(*(2 * [rng.uniform(6, 16)]), 0.0), side**2 // 1500, rng)
    return truth


def large(side: int, reach: int, rng: Rng) -> Labels:
    """Return ellipses of 80 px to `reach` across, the largest first."""
    truth = np.zeros((side, side), dtype=np.int32)
    sizes = np.sort(rng.uniform(80, reach, 6 * side**2 // 300**2))[::-1] / 2
    shapes = iter([_ellipse(a, a * rng.uniform(0.6, 1), rng.uniform(0, np.pi)) for a in sizes])
    _scatter(truth, lambda: next(shapes), len(sizes), rng)
    return truth


def grains(side: int, reach: int, rng: Rng) -> Labels:
    """Return touching grains that fill the image; their mean width is 40 px to a third of reach."""
    width = rng.uniform(40, reach / 3)
    at = rng.uniform(0, side, (max(4, round((side / width) ** 2)), 2))
    pixels = np.stack(np.indices((side, side)), axis=-1).reshape(-1, 2)
    return (KDTree(at).query(pixels)[1].reshape(side, side) + 1).astype(np.int32)


def rods(side: int, reach: int, rng: Rng) -> Labels:
    """Return straight rods, 10 to 24 px wide and 60 px to `reach` long."""
    truth = np.zeros((side, side), dtype=np.int32)

    def rod() -> Mask:
        return _arc(rng.uniform(60, reach), rng.uniform(10, 24), 0.0, rng.uniform(0, np.pi))

    _scatter(truth, rod, side**2 // 9000, rng)
    return truth


def mixture(side: int, reach: int, rng: Rng) -> Labels:
    """Return large ellipses, with rods and discs between them."""
    truth = large(side, reach, rng)
    for more in (rods(side, reach, rng), discs(side, reach, rng)):
        hidden = np.unique(more[truth > 0])
        free = ~np.isin(more, hidden) & (more > 0)
        truth[free] = more[free] + truth.max()
    return truth


def bent(side: int, reach: int, rng: Rng) -> Labels:
    """Return rods that are bent up to most of a circle: a tile may show two pieces of one."""
    truth = np.zeros((side, side), dtype=np.int32)

    def rod() -> Mask:
        turn = rng.uniform(np.pi / 2, 1.6 * np.pi)
        return _arc(rng.uniform(150, 2 * reach), rng.uniform(14, 28), turn, rng.uniform(0, np.pi))

    _scatter(truth, rod, side**2 // 20000, rng)
    return truth


KINDS: dict[str, Callable[[int, int, Rng], Labels]] = {
    "discs": discs,
    "large": large,
    "grains": grains,
    "rods": rods,
    "mixture": mixture,
    "bent": bent,
}


def picture(truth: Labels, rng: Rng) -> NDArray[np.uint8]:
    """Return an image (H, W, 3) of bright objects on a dark ground, blurred and with noise.

    Objects that fill the image have dark walls between them.
    """
    levels = np.append(40.0, rng.uniform(110, 200, int(truth.max())))
    image = levels[truth]
    if (truth > 0).all():
        inner = ndimage.minimum_filter(truth, 3) == ndimage.maximum_filter(truth, 3)
        image[~inner] = 40
    image = ndimage.gaussian_filter(image, 1.0) + rng.normal(0, 8, truth.shape)
    return np.repeat(image.clip(0, 255).astype(np.uint8)[..., np.newaxis], 3, axis=2)


def _scatter(truth: Labels, shape: Callable[[], Mask], tries: int, rng: Rng) -> None:
    """Put shapes where they fit, 3 px apart; they may reach over the border of the image."""
    rows, cols = truth.shape
    for _ in range(tries):
        mask = shape()
        h, w = mask.shape
        row, col = rng.integers(-h // 2, rows - h // 2), rng.integers(-w // 2, cols - w // 2)
        top, left = max(row, 0), max(col, 0)
        part = _largest_part(mask[top - row : rows - row, left - col : cols - col])
        here = truth[top : top + part.shape[0], left : left + part.shape[1]]
        if part.sum() > 30 and not here[ndimage.binary_dilation(part, iterations=3)].any():
            here[part] = truth.max() + 1


def _largest_part(mask: Mask) -> Mask:
    """Return the largest connected part: the image's border may cut a shape in two."""
    parts, n = ndimage.label(mask)
    return mask if n < 2 else parts == np.bincount(parts.ravel())[1:].argmax() + 1


def _ellipse(a: float, b: float, angle: float) -> Mask:
    """Return an ellipse of half axes `a` >= `b`, px."""
    n = int(np.ceil(a))
    rows, cols = np.mgrid[-n : n + 1, -n : n + 1]
    along = cols * np.cos(angle) + rows * np.sin(angle)
    across = rows * np.cos(angle) - cols * np.sin(angle)
    return np.asarray((along / a) ** 2 + (across / b) ** 2 <= 1)


def _arc(length: float, width: float, turn: float, angle: float) -> Mask:
    """Return a rod of `length` along its middle, whose direction changes by `turn`, rad."""
    n = max(int(length), 2)
    headings = angle + np.linspace(0, turn, n)
    line = np.cumsum(np.stack([np.sin(headings), np.cos(headings)], 1) * length / n, axis=0)
    line = np.rint(line - line.min(axis=0) + width).astype(int)
    away = np.ones(line.max(axis=0) + 1 + int(np.ceil(width)), dtype=bool)
    away[line[:, 0], line[:, 1]] = False
    return np.asarray(ndimage.distance_transform_edt(away) <= width / 2)
