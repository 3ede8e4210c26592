"""What can be said about an image without SAM: foreground, edges, blobs.

The rewards judge masks against these independent estimates, so that SAM is not its own judge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pywt  # type: ignore[import-untyped]
from numpy.typing import NDArray
from scipy import ndimage as ndi
from scipy import spatial
from skimage import feature, filters, measure, morphology, transform  # type: ignore[attr-defined]

from napari_samstar.core import interrupt
from napari_samstar.core.masks import Bool, Words, canvas_of

Polarity = Literal["auto", "bright", "dark"]
Gray = NDArray[np.float32]

EDGE_TOLERANCE = 2
"""How far, px, a contour may lie from an intensity edge and still count as lying on it."""

BLOB_SIDE = 768
"""Blobs are sought in an image scaled down to at most this long side, px, for speed."""

ELONGATION = 5.0
"""Most that the curvatures of a blob's answer may differ, as a ratio."""

BLOB_CONTRAST = 0.4
"""Share of the contrast between foreground and background that a blob must have."""

SIDES = 9
"""Of 12 directions, those in which a blob must stand out from what surrounds it."""

MIN_AREA = 9
"""Foreground specks below this area, px, are taken for noise."""


@dataclass(frozen=True, eq=False)
class ImageFacts:
    """Independent estimates for one image of H x W pixels.

    Attributes
    ----------
    gray : ndarray of float32, shape (H, W)
        Mean of the channels, 0 to 1.
    foreground : ndarray of bool, shape (H, W)
    components : ndarray of int32, shape (H, W)
        Connected foreground regions, 0 is background.
    component_areas : ndarray of int64, shape (n,)
        Area of components 1, 2, ..., px.
    blobs : ndarray of float64, shape (m, 3)
        Row, column and diameter of each blob, px.
    edges : ndarray of bool, shape (H, W)
        Pixels within `EDGE_TOLERANCE` of an intensity edge.
    n_edges : int
        Length of all intensity edges, px.
    polarity : {"bright", "dark"}
        Whether objects are brighter or darker than the background.
    """

    gray: Gray
    foreground: Bool
    components: NDArray[np.int32]
    component_areas: NDArray[np.int64]
    blobs: NDArray[np.float64]
    edges: Bool
    n_edges: int
    polarity: Polarity

    def canvases(self) -> tuple[Words, Words]:
        """Return foreground and edges, bit-packed."""
        return canvas_of(self.foreground), canvas_of(self.edges)


def image_facts(rgb: NDArray[np.uint8], polarity: Polarity = "auto") -> ImageFacts:
    """Estimate foreground, edges and blobs of an RGB uint8 image of shape (H, W, 3)."""
    gray: Gray = rgb.mean(axis=2, dtype=np.float32) / 255
    thin = _edges(gray)
    edges = np.asarray(ndi.binary_dilation(thin, iterations=EDGE_TOLERANCE), dtype=bool)
    interrupt.check()
    smooth = filters.gaussian(_flatten(gray), sigma=1.0, preserve_range=True)
    bright = smooth > _threshold(smooth, edges)
    if polarity == "auto":
        polarity = "bright" if _like_objects(smooth, bright) >= 0 else "dark"
    foreground = _tidy(bright if polarity == "bright" else ~bright)
    components = measure.label(foreground, connectivity=1).astype(np.int32)
    contrast = float(smooth[bright].mean() - smooth[~bright].mean()) if bright.any() else 0.0
    return ImageFacts(
        gray=gray,
        foreground=foreground,
        components=components,
        component_areas=np.bincount(components.ravel())[1:].astype(np.int64),
        blobs=_blobs(gray if polarity == "bright" else 1 - gray, foreground, contrast),
        edges=edges,
        n_edges=int(np.count_nonzero(thin)),
        polarity=polarity,
    )


def _flatten(gray: Gray) -> Gray:
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


def _threshold(smooth: Gray, edges: Bool) -> float:
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


def _like_objects(smooth: Gray, mask: Bool) -> float:
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


def _tidy(mask: Bool) -> Bool:
    interrupt.check()
    mask = morphology.remove_small_objects(mask, max_size=MIN_AREA)
    return np.asarray(morphology.remove_small_holes(mask, max_size=MIN_AREA), dtype=bool)


def _noise(image: Gray) -> float:
    """Return the deviation of white noise by the finest diagonal wavelet detail.

    Median of its size over 0.6745 (Donoho and Johnstone, Biometrika 1994). Exact zeros come from
    clipped or painted regions and are left out; without any detail the noise is 0.
    """
    _, (_, _, detail) = pywt.dwt2(image, "db2")
    sizes = np.abs(detail[detail != 0])
    return float(np.median(sizes)) / 0.6745 if len(sizes) else 0.0


def _edges(gray: Gray) -> Bool:
    """Return Canny edges above the noise, one pixel wide.

    White noise of deviation s gives a Gaussian gradient (scale sigma) of deviation
    s / (sigma^2 sqrt(8 pi)) per axis; an edge must stand out of that and of the image's bulk.
    """
    sigma = 1.5
    noise = _noise(gray) / (sigma**2 * np.sqrt(8 * np.pi))
    slope = ndi.gaussian_gradient_magnitude(gray, sigma)
    high = max(6 * noise, float(np.quantile(slope, 0.8)))
    if high <= 0:
        return np.zeros(gray.shape, dtype=bool)
    # Canny's thresholds apply to an unnormalised Sobel magnitude, 8 times the slope per pixel.
    thin = feature.canny(gray, sigma, low_threshold=4 * high, high_threshold=8 * high)
    return np.asarray(thin, dtype=bool)


def _blobs(bright_objects: Gray, foreground: Bool, contrast: float) -> NDArray[np.float64]:
    """Return (row, col, diameter) of bright blobs whose centre is foreground, px.

    Maxima over place and scale of the normalised Laplacian of Gaussian; a disc of diameter d
    answers most at sigma = d / (2 sqrt 2), with 2 / e of its contrast. White noise of deviation s
    answers with deviation s / (sigma sqrt(2 pi)). A blob must stand four times above that, and
    show `BLOB_CONTRAST` of the `contrast` between foreground and background.
    """
    scale = min(1.0, BLOB_SIDE / max(bright_objects.shape))
    image = bright_objects
    if scale < 1:
        image = transform.rescale(image, scale, anti_aliasing=True)
    noise = _noise(image) / np.sqrt(2 * np.pi)
    sigmas = np.geomspace(2.0, max(2.0, min(image.shape) / 8), 9)
    answers = np.stack([_answer(image, sigma) for sigma in sigmas])
    floor = np.maximum(4 * noise / sigmas, BLOB_CONTRAST * contrast * 2 / np.e)
    peaks = (answers == ndi.maximum_filter(answers, size=3)) & (answers > floor[:, None, None])
    found = np.argwhere(peaks)
    found = found[_round(answers, found)]
    which, rows, cols = found.T
    blobs = np.column_stack([rows, cols, sigmas[which] * 2 * np.sqrt(2)]) / scale
    at = np.minimum(blobs[:, :2].astype(int), np.array(foreground.shape) - 1)
    inside = foreground[at[:, 0], at[:, 1]]
    inside &= _stands_out(image, rows, cols, sigmas[which] * np.sqrt(2), BLOB_CONTRAST * contrast)
    return _strongest(blobs[inside], answers[which, rows, cols][inside])


def _answer(image: Gray, sigma: float) -> Gray:
    """Return how strongly a bright blob of that size answers at each pixel.

    `ndi.gaussian_laplace` in two halves: at large sizes it takes a second.
    """
    return np.asarray(-(sigma**2) * ndi.generic_laplace(image, _curve, extra_arguments=(sigma,)))


def _curve(image: Gray, axis: int, output: Any, mode: str, cval: float, sigma: float) -> Any:
    interrupt.check()
    order = [0, 0]
    order[axis] = 2
    return ndi.gaussian_filter(image, sigma, order, output, mode, cval)


def _round(answers: NDArray[np.float32], found: NDArray[np.int64]) -> Bool:
    """Return which peaks `found` (scale, row, col) curve alike in both directions.

    A bright region's rim answers too, but only across itself. Lowe's test (IJCV 2004): the
    principal curvatures, from the trace and determinant of the Hessian, are within `ELONGATION`.
    """
    k, r, c = found.T
    north, south = np.maximum(r - 1, 0), np.minimum(r + 1, answers.shape[1] - 1)
    west, east = np.maximum(c - 1, 0), np.minimum(c + 1, answers.shape[2] - 1)
    here = 2 * answers[k, r, c]
    down = answers[k, north, c] + answers[k, south, c] - here
    right = answers[k, r, west] + answers[k, r, east] - here
    same, other = answers[k, north, west] + answers[k, south, east], answers[k, north, east]
    mixed = (same - other - answers[k, south, west]) / 4
    det = down * right - mixed**2
    limit = (ELONGATION + 1) ** 2 / ELONGATION
    return np.asarray((det > 0) & ((down + right) ** 2 < limit * det))


def _stands_out(
    image: Gray,
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
    radii: NDArray[np.float64],
    least: float,
) -> Bool:
    """Return which discs are brighter by `least` than what lies around them, on most sides.

    Of 12 directions, `SIDES` must see a pixel between 1 and 2 radii from the centre that is so
    much darker than the disc: a texture grain or a corner of a larger object is not, since that
    object goes on around it; a particle that touches a few others is.
    """
    angles = np.arange(12) * (np.pi / 6)
    steps = np.linspace(1.0, 2.0, 5)
    out = radii[:, None, None] * steps[None, :, None]  # n x steps x 1
    y = rows[:, None, None] + out * np.sin(angles)
    x = cols[:, None, None] + out * np.cos(angles)
    around = ndi.map_coordinates(image, [y, x], order=1, mode="nearest").min(axis=1)
    fine = radii[:, None, None] * np.array([0.3, 0.6])[None, :, None]
    inner_y, inner_x = (
        rows[:, None, None] + fine * np.sin(angles),
        cols[:, None, None] + fine * np.cos(angles),
    )
    inside = ndi.map_coordinates(image, [inner_y, inner_x], order=1, mode="nearest").mean(
        axis=(1, 2)
    )
    darker = around < inside[:, None] - least
    return np.asarray(darker.sum(axis=1) >= SIDES)


def _strongest(blobs: NDArray[np.float64], answers: NDArray[np.float32]) -> NDArray[np.float64]:
    """Drop each blob whose centre lies within a stronger one, or that swallows a stronger one."""
    if not len(blobs):
        return blobs
    blobs = blobs[np.argsort(-answers, kind="stable")]
    near = spatial.KDTree(blobs[:, :2]).query_pairs(
        float(blobs[:, 2].max()) / 2, output_type="ndarray"
    )
    pairs = near[np.lexsort((near[:, 1], near[:, 0]))]
    apart = np.linalg.norm(blobs[pairs[:, 0], :2] - blobs[pairs[:, 1], :2], axis=1)
    clash = apart < 0.5 * np.maximum(blobs[pairs[:, 0], 2], blobs[pairs[:, 1], 2])
    alive = np.ones(len(blobs), dtype=bool)
    for strong, weak in pairs[clash]:
        if alive[strong]:
            alive[weak] = False
    return np.asarray(blobs[alive], dtype=np.float64)
