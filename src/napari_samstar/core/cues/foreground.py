"""What stands out from the background, by thresholds on the flattened image."""

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
"""Foreground specks below this area, px, are taken for noise."""


def flatten(gray: Gray) -> Gray:
    """Subtract a second-order surface: uneven illumination is not foreground.

    The fit has a step for the brighter class beside the surface, so that large objects do not
    bend it; classes and surface are found in turns.
    """
    rows, cols = gray.shape
    y, x = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, cols), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * y, x**2, y**2], axis=-1)
    step = max(1, min(rows, cols) // 128)
    sample, values = terms[::step, ::step].reshape(-1, 6), gray[::step, ::step].ravel()
    fit, *_ = np.linalg.lstsq(sample, values, rcond=None)
    for _ in range(8 if np.ptp(values) > 0 else 0):
        flat = values - sample @ fit
        bright = flat > filters.threshold_otsu(flat)
        both, *_ = np.linalg.lstsq(np.column_stack([sample, bright]), values, rcond=None)
        fit = both[:6]
    flattened: Gray = (gray - terms @ fit).astype(np.float32)
    return flattened


def threshold(smooth: Gray, edges: Bool) -> float:
    """Return the one of several standard thresholds whose outline fits the image best.

    A threshold is as good as the share of its outline that lies on intensity edges, above chance,
    times the share of the variance that its two classes explain (what Otsu's method maximises).
    Otsu alone loses dim objects beside bright ones, and the rims of blurred ones.
    """
    if np.ptp(smooth) == 0:
        return 1.0
    sample = smooth[::2, ::2] if smooth.size > 4096 else smooth
    rules = (filters.threshold_otsu, filters.threshold_li, filters.threshold_triangle,
             filters.threshold_isodata)  # fmt: skip
    several = []
    for rule in rules:
        interrupt.check()
        several.append(float(rule(smooth)))
    if len(np.unique(sample)) > 3:
        several += [float(t) for t in filters.threshold_multiotsu(sample, 3, nbins=64)]
    return max(several, key=lambda t: _fit(smooth > t, smooth, edges))


def _fit(mask: Bool, smooth: Gray, edges: Bool) -> float:
    interrupt.check()
    share = float(mask.mean())
    outline = mask & ~ndi.binary_erosion(mask, border_value=1)
    if not outline.any():
        return 0.0
    chance = float(edges.mean())
    on_edge = (float(edges[outline].mean()) - chance) / max(1 - chance, 1e-9)
    apart = float(smooth[mask].mean()) - float(smooth[~mask].mean())
    return max(on_edge, 0.0) * share * (1 - share) * apart**2


def like_objects(smooth: Gray, mask: Bool) -> float:
    """Return how much more `mask` looks like objects than its complement does; 0 is undecided.

    Objects are many and differ, background is one, even, and reaches the image's border: the sum
    of the log ratios of the two classes' intensity spreads, of the chances that two random pixels
    share a region, and of how often border pixels belong to them.
    """
    even = np.log(_spread(smooth, mask) / _spread(smooth, ~mask))
    many = np.log(_gathered(~mask) / _gathered(mask))
    inside = np.log(_at_border(~mask) / _at_border(mask))
    return float(even + many + inside)


def _spread(smooth: Gray, mask: Bool) -> float:
    """Return the interquartile range of a class, 3 px away from its borders where it has such."""
    inner = ndi.binary_erosion(mask, iterations=3, border_value=1)
    values = smooth[inner if inner.sum() > 50 else mask]
    if len(values) < 2:
        return 1e-3
    low, high = np.percentile(values, [25, 75])
    return max(float(high - low), 1e-3)


def _at_border(mask: Bool) -> float:
    """Return the share of border pixels in a class over its share of the image, 0.1 at least."""
    rim = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    return max(float(rim.mean()) / max(float(mask.mean()), 1e-6), 0.1)


def _gathered(mask: Bool) -> float:
    """Return the chance that two random pixels of `mask` lie in the same region."""
    interrupt.check()
    areas = np.bincount(measure.label(mask, connectivity=1).ravel())[1:].astype(float)
    areas = areas[areas >= MIN_AREA]
    return float((areas**2).sum() / areas.sum() ** 2) if len(areas) else 1.0


def tidy(mask: Bool) -> Bool:
    """Return `mask` without specks and holes below `MIN_AREA`."""
    interrupt.check()
    mask = morphology.remove_small_objects(mask, max_size=MIN_AREA)
    return np.asarray(morphology.remove_small_holes(mask, max_size=MIN_AREA), dtype=bool)
