"""Bright spots of any size, by a multi-scale Laplacian of Gaussian."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from scipy import spatial
from skimage import transform

from napari_samstar.core import interrupt
from napari_samstar.core.cues.edges import Gray, noise_of

if TYPE_CHECKING:
    from napari_samstar.core.masks.store import Bool

BLOB_SIDE = 768
"""Blobs are sought in an image scaled down to at most this long side, px, for speed."""


ELONGATION = 5.0
"""Most that the curvatures of a blob's answer may differ, as a ratio."""


BLOB_CONTRAST = 0.4
"""Share of the contrast between foreground and background that a blob must have."""


SIDES = 9
"""Of 12 directions, those in which a blob must stand out from what surrounds it."""


def blobs_of(bright_objects: Gray, foreground: Bool, contrast: float) -> NDArray[np.float64]:
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
    noise = noise_of(image) / np.sqrt(2 * np.pi)
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
