"""Foreground by a threshold, after subtraction of uneven illumination."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage as ndi
from skimage import filters, measure, morphology  # type: ignore[attr-defined]

from napari_samstar.core import interrupt

if TYPE_CHECKING:
    from napari_samstar.core.cues.edges import Gray
    from napari_samstar.core.masks.store import Bool

MIN_AREA = 9
"""Foreground regions below this area, px, count as noise."""


def subtract_background(gray: Gray) -> Gray:
    """Subtract a second-order surface, the uneven illumination; returns float32, shape (H, W).

    The least-squares fit has an additional term for the brighter class (Otsu), so that large
    objects do not bend the surface; classes and surface are estimated in turns.
    """
    rows, cols = gray.shape
    y, x = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, cols), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * y, x**2, y**2], axis=-1)
    step = max(1, min(rows, cols) // 128)
    sample, values = terms[::step, ::step].reshape(-1, 6), gray[::step, ::step].ravel()
    fit, *_ = np.linalg.lstsq(sample, values, rcond=None)
    # Alternate between the two classes, given the surface, and the surface, given the classes.
    for _ in range(8 if np.ptp(values) > 0 else 0):
        flat = values - sample @ fit
        bright = flat > filters.threshold_otsu(flat)
        both, *_ = np.linalg.lstsq(np.column_stack([sample, bright]), values, rcond=None)
        fit = both[:6]
    flattened: Gray = (gray - terms @ fit).astype(np.float32)
    return flattened


def best_threshold(smooth: Gray, edges: Bool) -> float:
    """Return the one of several standard thresholds whose outlines fit the image best.

    The score of a threshold is the share of its outline that lies on intensity edges, above
    chance, times the variance between its two classes (which Otsu's method maximises). Otsu alone
    misses dim objects beside bright ones, and the borders of blurred ones.
    """
    if np.ptp(smooth) == 0:
        return 1.0
    sample = smooth[::2, ::2] if smooth.size > 4096 else smooth
    rules = (filters.threshold_otsu, filters.threshold_li, filters.threshold_triangle,
             filters.threshold_isodata)  # fmt: skip
    thresholds = []
    for rule in rules:
        interrupt.check()
        thresholds.append(float(rule(smooth)))
    if len(np.unique(sample)) > 3:
        thresholds += [float(t) for t in filters.threshold_multiotsu(sample, 3, nbins=64)]
    return max(thresholds, key=lambda t: _foreground_score(smooth > t, smooth, edges))


def _foreground_score(mask: Bool, smooth: Gray, edges: Bool) -> float:
    interrupt.check()
    share = float(mask.mean())
    outline = mask & ~ndi.binary_erosion(mask, border_value=1)
    if not outline.any():
        return 0.0
    chance = float(edges.mean())
    on_edge = (float(edges[outline].mean()) - chance) / max(1 - chance, 1e-9)
    difference = float(smooth[mask].mean()) - float(smooth[~mask].mean())
    return max(on_edge, 0.0) * share * (1 - share) * difference**2


def polarity_score(smooth: Gray, mask: Bool) -> float:
    """Return a number above 0 where `mask` is more likely the objects than its complement is.

    Objects are many and differ in intensity; the background is one region, uniform, and reaches
    the image's border. The score is the sum of the log ratios of the two classes' intensity
    spreads, probabilities that two random pixels are of the same region, and shares of the border.
    """
    uniformity = np.log(_intensity_spread(smooth, mask) / _intensity_spread(smooth, ~mask))
    regions = np.log(_same_region_probability(~mask) / _same_region_probability(mask))
    border = np.log(_border_share(~mask) / _border_share(mask))
    return float(uniformity + regions + border)


def _intensity_spread(smooth: Gray, mask: Bool) -> float:
    """Return the interquartile range of a class, without the 3 px at its borders if possible."""
    inner = ndi.binary_erosion(mask, iterations=3, border_value=1)
    values = smooth[inner if inner.sum() > 50 else mask]
    if len(values) < 2:
        return 1e-3
    low, high = np.percentile(values, [25, 75])
    return max(float(high - low), 1e-3)


def _border_share(mask: Bool) -> float:
    """Return a class's share of the border pixels over its share of the image, at least 0.1."""
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    return max(float(border.mean()) / max(float(mask.mean()), 1e-6), 0.1)


def _same_region_probability(mask: Bool) -> float:
    """Return the probability that two random pixels of `mask` lie in the same region."""
    interrupt.check()
    areas = np.bincount(measure.label(mask, connectivity=1).ravel())[1:].astype(float)
    areas = areas[areas >= MIN_AREA]
    return float((areas**2).sum() / areas.sum() ** 2) if len(areas) else 1.0


def remove_specks(mask: Bool) -> Bool:
    """Return `mask` without regions and holes of up to `MIN_AREA` px."""
    interrupt.check()
    mask = morphology.remove_small_objects(mask, max_size=MIN_AREA)
    return np.asarray(morphology.remove_small_holes(mask, max_size=MIN_AREA), dtype=bool)
