"""Images filled with cells: grains, epithelium, neurites; separated by walls or grey levels."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.spatial import cKDTree

from training.synth.camera import blur, record, texture
from training.synth.sample import Sample, masks_of_label


def tiles(shape: tuple[int, int], rng: np.random.Generator) -> Sample:
    """A warped Voronoi diagram; some tiles may be background."""
    side = np.exp(rng.uniform(np.log(14), np.log(0.5 * min(shape))))
    label = warped_voronoi(shape, side, rng)
    width = float(rng.uniform(0.5, 3) if rng.random() < 0.7 else rng.uniform(0, 0.2) * side)
    wall = walls(label, width)
    tone = rng.normal(size=label.max() + 1).astype(np.float32) * rng.uniform(0.1, 1.0)
    image = tone[label] if rng.random() < 0.6 else 0.15 * tone[label]
    image = image + rng.uniform(0, 0.3) * texture(shape, rng.uniform(1, 0.3 * side), rng)
    image[wall] = rng.choice((-1, 1)) * rng.uniform(1.0, 3)
    image = blur(image, rng.uniform(0.2, 1.5))
    label = label.copy()
    label[wall] = 0
    if rng.random() < 0.4:
        removed = rng.random(label.max() + 1) < rng.uniform(0.1, 0.6)
        void = removed[label] & (label > 0)
        image[void] = image.min() + 0.1 * rng.standard_normal(int(void.sum()))
        label[void] = 0
    return Sample(record(image, rng, noise=0.7), masks_of_label(label, least=20))


def warped_voronoi(shape: tuple[int, int], side: float, rng: np.random.Generator) -> np.ndarray:
    """Label image (H, W) int32 of a Voronoi diagram, made irregular by stretching and warping."""
    h, w = shape
    stretch = np.exp(rng.uniform(-0.7, 0.7))
    count = int(np.clip(h * w / side**2 * 1.6, 3, 400))
    seeds = rng.uniform(-0.2, 1.2, (count, 2)) * (h * stretch, w)
    warp = rng.uniform(0, 0.2) * side
    rows = np.arange(h, dtype=np.float32)[:, None] + warp * texture(shape, 0.3 * side, rng)
    cols = np.arange(w, dtype=np.float32)[None, :] + warp * texture(shape, 0.3 * side, rng)
    _, nearest = cKDTree(seeds).query(np.stack([rows * stretch, cols], -1).reshape(-1, 2))
    return (nearest.reshape(shape) + 1).astype(np.int32)


def walls(label: np.ndarray, width: float) -> np.ndarray:
    """Mask (H, W) of the pixels within `width` px of a border between cells."""
    wall = np.zeros(label.shape, bool)
    wall[:-1] |= label[:-1] != label[1:]
    wall[:, :-1] |= label[:, :-1] != label[:, 1:]
    if width < 1:
        return wall
    distance = cv2.distanceTransform((~wall).astype(np.uint8), cv2.DIST_L2, 3)
    return distance < width
