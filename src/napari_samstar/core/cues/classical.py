"""Objects by classical segmentation: Otsu's threshold, and spots, each with a watershed.

Both look for objects that are brighter and objects that are darker than their surroundings. What
they find is proposed to SAM as boxes, and competes with SAM's own masks.

Each object comes as a map of levels, which is to its mask what logits are to a mask of SAM: the
mask is where the level is above 0, so that its stability is measured in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from skimage import feature, filters, segmentation

from napari_samstar.core import interrupt
from napari_samstar.core.cues.edges import Gray, noise_level
from napari_samstar.core.cues.foreground import remove_specks, subtract_background

if TYPE_CHECKING:
    from napari_samstar.core.masks.store import Bool

Method = Literal["otsu", "spots"]
Side = Literal["bright", "dark"]
Labels = NDArray[np.int32]

MIN_AREA = 16
"""Smaller objects are left out, px."""

MAX_SHARE = 0.6
"""A region that covers more than this share of the image is no object."""

MIN_CONTRAST = 2.5
"""Least contrast of an object, in standard deviations of the noise after smoothing. The two halves
of pure noise differ by 1.6 of them."""

CLEAR_CONTRAST = 6.0
"""Contrast of objects and background, in the same unit, below which an image is smoothed more."""

LEVELS = 20.0
"""One unit of level is this part of an object's contrast, plus the noise. SAM's logits reach some
10 on both sides of an outline."""

SMOOTH, SMOOTHER = 1.0, 2.0
"""Standard deviation of the smoothing, px: the first, or the second in noisy images."""

FIRST_SIGMA, SIGMA_STEP, SIGMAS_PER_SIDE = 1.5, 2**0.5, 10
"""Scales of spots: the smallest (px), the ratio of neighbours, and the image's short side over the
largest."""

FAINT = 0.2
"""Spots whose response is below this share of that of a strong one are left out."""

_BACKGROUND_SIDE = 256  # px; the surface of second order is fitted to a reduced image


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What one method finds of one polarity in an image of H x W pixels; n objects.

    Attributes
    ----------
    method : {"otsu", "spots"}
    polarity : {"bright", "dark"}
        Whether the objects are brighter or darker than their surroundings.
    basins : ndarray of int32, shape (H, W)
        1, 2, ..., n: the object to which a pixel belongs, or would belong at a lower cut-off;
        0 where there is none.
    levels : ndarray of float32, shape (H, W)
        Height above the cut-off of the pixel's object, in units of that object: its contrast over
        `LEVELS` plus the standard deviation of the noise. Ours. Infinite in filled holes.
    contrast : ndarray of float64, shape (n,)
        Difference between the mean intensities of an object and of the rest of its basin, 0 to 1.
    """

    method: Method
    polarity: Side
    basins: Labels
    levels: NDArray[np.float32]
    contrast: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.contrast)

    @cached_property
    def labels(self) -> Labels:
        """The objects 1, 2, ..., n, and 0 for the background: int32, shape (H, W)."""
        return np.where(self.levels > 0, self.basins, 0)


@dataclass(frozen=True, eq=False)
class _Seen:
    """An image of one polarity: smoothed, objects bright; and the noise left in it."""

    smooth: Gray
    noise: float


def classical_segmentations(rgb: NDArray[np.uint8]) -> tuple[Segmentation, ...]:
    """Return what both methods find of bright and of dark objects; those that find nothing are out.

    Parameters
    ----------
    rgb : ndarray of uint8, shape (H, W, 3) or (H, W)
    """
    mean = rgb if rgb.ndim == 2 else rgb.mean(axis=2, dtype=np.float32)
    gray: Gray = np.asarray(mean / np.float32(255), dtype=np.float32)
    if min(gray.shape) < 4 or np.ptp(gray) == 0:
        return ()
    noise = noise_level(gray)
    flat = _flattened(gray)
    seen = _smoothed(flat, noise)
    threshold = float(filters.threshold_otsu(seen.smooth))
    responses = _responses(flat)
    found: list[Segmentation | None] = []
    for side in ("bright", "dark"):
        sign = 1 if side == "bright" else -1
        turned = _Seen(sign * seen.smooth, seen.noise)
        interrupt.check()
        found.append(_by_threshold(turned, sign * threshold, side))
        interrupt.check()
        found.append(_by_spots(turned, _best_scale(responses, sign, noise), noise, side))
    return tuple(one for one in found if one is not None and len(one))


def _flattened(gray: Gray) -> Gray:
    """Return the image less its uneven illumination, which is found in a reduced image."""
    scale = min(1.0, _BACKGROUND_SIDE / max(gray.shape))
    rows, cols = (max(1, round(side * scale)) for side in gray.shape)
    small = cv2.resize(gray, (cols, rows), interpolation=cv2.INTER_AREA)
    surface = (small - subtract_background(np.asarray(small, np.float32))).astype(np.float32)
    full = cv2.resize(surface, gray.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(gray - full, dtype=np.float32)


def _smoothed(flat: Gray, noise: float) -> _Seen:
    """Smooth an image, more where Otsu's two classes differ by little more than the noise.

    A Gaussian of sigma leaves white noise a standard deviation of 1 / (2 sigma sqrt(pi)) of its
    own.
    """
    for sigma in (SMOOTH, SMOOTHER):
        smooth = np.asarray(cv2.GaussianBlur(flat, (0, 0), sigma), dtype=np.float32)
        seen = _Seen(smooth, noise / (2 * sigma * np.sqrt(np.pi)))
        if _differ(seen, smooth > filters.threshold_otsu(smooth), CLEAR_CONTRAST):
            break
    return seen


def _differ(seen: _Seen, above: Bool, least: float) -> bool:
    """Return whether two classes differ by more than `least` standard deviations of the noise."""
    if not above.any() or above.all():
        return False
    difference = seen.smooth[above].mean() - seen.smooth[~above].mean()
    return bool(difference > least * seen.noise)


# --- Otsu's threshold --------------------------------------------------------------------------


def _by_threshold(seen: _Seen, threshold: float, side: Side) -> Segmentation | None:
    """Split what is above a threshold by a watershed of its smoothed distance transform."""
    above = seen.smooth > threshold
    if not _differ(seen, above, MIN_CONTRAST):
        return None
    mask = remove_specks(above)
    if not mask.any() or _is_background(mask):
        return None
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    depth = cv2.GaussianBlur(depth, (0, 0), 1.5)
    tops = feature.peak_local_max(depth, min_distance=3, exclude_border=False, threshold_abs=1.0)
    if not len(tops):
        return None
    # Objects of the usual size have one marker each; most of the area says what is usual.
    usual = _weighted_median(depth[tuple(tops.T)])
    apart = max(3, round(0.75 * usual))
    tops = feature.peak_local_max(
        depth, min_distance=apart, exclude_border=False, threshold_abs=min(1.0, usual)
    )
    labels = _watershed(depth, tops, mask)
    basins = _grown(labels, max(3.0, usual / 2))
    basins[above & ~mask] = 0  # specks belong to no object
    levels = (seen.smooth - threshold).astype(np.float32)
    levels[mask & ~above] = np.inf  # filled holes are inside at each cut-off
    return _measured("otsu", side, seen, basins, levels)


def _weighted_median(radii: NDArray[np.float32]) -> float:
    """Return the radius up to which discs make up half of the area of all."""
    ordered = np.sort(radii).astype(np.float64)
    area = np.cumsum(ordered**2)
    return float(ordered[np.searchsorted(area, area[-1] / 2)])


def _is_background(mask: Bool) -> bool:
    """Return whether one region touches all borders, and covers most of them or of the image."""
    n, regions = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    edges = regions[0], regions[-1], regions[1:-1, 0], regions[1:-1, -1]
    on_edges = np.stack([np.bincount(edge, minlength=n)[1:] for edge in edges])
    area = np.bincount(regions.ravel(), minlength=n)[1:]
    border = on_edges.sum(axis=0) / sum(len(edge) for edge in edges)
    most = (area > MAX_SHARE * mask.size) | (border > MAX_SHARE)
    return bool((most & (on_edges > 0).all(axis=0)).any())


# --- spots -------------------------------------------------------------------------------------


def _responses(flat: Gray) -> list[tuple[float, Gray]]:
    """Return the normalised, negated Laplacian of Gaussian for each sigma, the smallest first.

    Large scales are computed, and returned, in a reduced image, in which sigma is 1.5 to 3 px.
    """
    found = []
    sigma = FIRST_SIGMA
    while sigma <= max(FIRST_SIGMA, min(flat.shape) / SIGMAS_PER_SIDE):
        interrupt.check()
        factor = max(1, int(sigma / FIRST_SIGMA))
        rows, cols = (max(1, side // factor) for side in flat.shape)
        small = cv2.resize(flat, (cols, rows), interpolation=cv2.INTER_AREA)
        blurred = cv2.GaussianBlur(small, (0, 0), sigma / factor)
        response = -((sigma / factor) ** 2) * cv2.Laplacian(blurred, cv2.CV_32F, ksize=1)
        found.append((sigma, np.asarray(response, dtype=np.float32)))
        sigma *= SIGMA_STEP
    return found


def _best_scale(responses: list[tuple[float, Gray]], sign: int, noise: float) -> tuple[float, Gray]:
    """Return the sigma and response at the scale where spots of one sign have the most energy.

    That is the mean squared response of that sign, less what white noise of standard deviation s
    gives: half of (s / (sigma sqrt(2 pi)))^2. Ours. A disc of diameter d responds most at
    sigma = d / (2 sqrt 2).
    """
    energies = [
        float((np.maximum(sign * response, 0) ** 2).mean()) - (noise / sigma) ** 2 / (4 * np.pi)
        for sigma, response in responses
    ]
    sigma, response = responses[int(np.argmax(energies))]
    return sigma, sign * response


def _by_spots(
    seen: _Seen, scale: tuple[float, Gray], noise: float, side: Side
) -> Segmentation | None:
    """Split the spots of one scale by a watershed of the response, and find each one's outline.

    An outline lies half-way between the mean intensities inside and around it, separately for each
    spot; the first estimate of the outline is the zero crossing of the response.
    """
    sigma, small = scale
    shape = seen.smooth.shape
    reduced = small.shape[0] / shape[0]
    tops = feature.peak_local_max(
        small,
        min_distance=max(1, round(sigma * reduced)),
        exclude_border=False,
        threshold_abs=max(4 * noise / (sigma * np.sqrt(2 * np.pi)), 1e-6),
    )
    if not len(tops):
        return None
    heights = small[tuple(tops.T)]
    tops = tops[heights > FAINT * np.quantile(heights, 0.9)]
    labels = _watershed(small, tops, np.asarray(small > 0))
    labels = cv2.resize(labels, shape[::-1], interpolation=cv2.INTER_NEAREST)
    basins = _grown(labels, max(2.0, sigma))
    inside = np.asarray(labels > 0)
    heights = seen.smooth
    for _ in range(2):  # the second time inside the outline; after Ridler and Calvard (1978)
        within, around = _means(seen.smooth, basins, inside)
        halfway = ((within + around) / 2).astype(np.float32)
        heights = seen.smooth - halfway[basins]
        inside = heights > 0
    return _measured("spots", side, seen, basins, heights)


# --- both --------------------------------------------------------------------------------------


def _watershed(height: Gray, tops: NDArray[np.int64], mask: Bool) -> Labels:
    markers = np.zeros(mask.shape, dtype=np.int32)
    markers[tuple(tops.T)] = np.arange(1, len(tops) + 1)
    return np.asarray(segmentation.watershed(-height, markers, mask=mask), dtype=np.int32)


def _grown(labels: Labels, reach: float) -> Labels:
    """Return labels that also have the pixels up to `reach` px around them, the nearest one's."""
    free = (labels == 0).astype(np.uint8)
    distance, nearest = cv2.distanceTransformWithLabels(
        free, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    taken = labels > 0
    names = np.zeros(int(nearest.max()) + 1, dtype=np.int32)
    names[nearest[taken]] = labels[taken]
    return np.where(distance <= reach, names[nearest], 0).astype(np.int32)


def _means(
    values: Gray, basins: Labels, inside: Bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean value inside and outside, by basin, from 0; shape (n + 1,) each.

    Where a basin has no pixel outside, the mean of all that belongs to no basin's inside.
    """
    size = int(basins.max()) + 1
    both = (2 * basins + inside).ravel()
    count = np.bincount(both, minlength=2 * size).reshape(size, 2)
    total = np.bincount(both, weights=values.ravel(), minlength=2 * size).reshape(size, 2)
    rest = total[0] / np.maximum(count[0], 1)
    means = np.where(count > 0, total / np.maximum(count, 1), rest)
    return means[:, 1], means[:, 0]


def _measured(
    method: Method, side: Side, seen: _Seen, basins: Labels, heights: NDArray[np.float32]
) -> Segmentation:
    """Put heights above the cut-off into units of level, and drop what is no object."""
    inside = heights > 0
    n = int(basins.max())
    within, around = _means(seen.smooth, basins, inside)
    contrast = within - around
    area = np.bincount(basins[inside], minlength=n + 1)
    keep = (area >= MIN_AREA) & (area <= MAX_SHARE * basins.size)
    keep &= (contrast > MIN_CONTRAST * seen.noise) & (contrast > 0)
    keep[0] = False
    names = np.where(keep, np.cumsum(keep), 0).astype(np.int32)
    unit = np.where(keep, contrast / LEVELS + seen.noise, 1.0).astype(np.float32)
    levels = np.asarray(heights / unit[basins], dtype=np.float32)
    return Segmentation(method, side, names[basins], levels, contrast[keep])


def windows(segmentation: Segmentation) -> list[tuple[slice, slice]]:
    """Return the rows and columns that the basin of each object spans, by object."""
    found = ndi.find_objects(segmentation.basins, max_label=len(segmentation))
    return [window for window in found if window is not None]
