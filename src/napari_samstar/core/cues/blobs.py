"""Detection of bright blobs of any size, by a multi-scale Laplacian of Gaussian."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from scipy import spatial
from skimage import transform

from napari_samstar.core import interrupt
from napari_samstar.core.cues.edges import Gray, noise_level

if TYPE_CHECKING:
    from napari_samstar.core.masks.store import Bool

MAX_SIDE = 768
"""Longer images are scaled down to this long side, px, for speed."""

MAX_CURVATURE_RATIO = 5.0
"""Largest ratio of the two principal curvatures of the response at a blob."""

MIN_CONTRAST = 0.4
"""Least contrast of a blob, as a share of that between foreground and background."""

MIN_DIRECTIONS = 9
"""Number of 12 directions in which a blob must be brighter than its surroundings."""


def detect_blobs(bright_objects: Gray, foreground: Bool, contrast: float) -> NDArray[np.float64]:
    """Return row, column and diameter of bright blobs whose centre is foreground, px, shape (n, 3).

    Blobs are maxima over position and scale of the normalised Laplacian of Gaussian. The response
    of a disc of diameter d is largest at sigma = d / (2 sqrt 2), where it is 2 / e of its contrast.
    White noise of standard deviation s gives a response of standard deviation
    s / (sigma sqrt(2 pi)); a blob must be four times above that.

    Parameters
    ----------
    bright_objects : ndarray of float32, shape (H, W)
        The image, inverted where objects are darker than the background.
    foreground : ndarray of bool, shape (H, W)
    contrast : float
        Difference between the mean intensities of foreground and background; a blob must have
        `MIN_CONTRAST` of it.
    """
    scale = min(1.0, MAX_SIDE / max(bright_objects.shape))
    image = bright_objects
    if scale < 1:
        image = transform.rescale(image, scale, anti_aliasing=True)
    noise = noise_level(image) / np.sqrt(2 * np.pi)
    # Find the maxima over position and scale that are above noise and contrast.
    sigmas = np.geomspace(2.0, max(2.0, min(image.shape) / 8), 9)
    responses = np.stack([_response(image, sigma) for sigma in sigmas])
    least = np.maximum(4 * noise / sigmas, MIN_CONTRAST * contrast * 2 / np.e)
    peaks = (responses == ndi.maximum_filter(responses, size=3)) & (
        responses > least[:, None, None]
    )
    found = np.argwhere(peaks)
    # Filter by the shape of the response.
    found = found[_is_round(responses, found)]
    which, rows, cols = found.T
    blobs = np.column_stack([rows, cols, sigmas[which] * 2 * np.sqrt(2)]) / scale
    # Filter by the foreground and by the contrast with the surroundings.
    at = np.minimum(blobs[:, :2].astype(int), np.array(foreground.shape) - 1)
    keep = foreground[at[:, 0], at[:, 1]]
    radii = sigmas[which] * np.sqrt(2)
    keep &= _is_above_surroundings(image, rows, cols, radii, MIN_CONTRAST * contrast)
    return _suppress_weaker(blobs[keep], responses[which, rows, cols][keep])


def _response(image: Gray, sigma: float) -> Gray:
    """Return the response of the normalised, negated Laplacian of Gaussian, shape (H, W).

    As `ndi.gaussian_laplace`, with a check for interruption between the axes: at a large sigma it
    takes a second.
    """
    return np.asarray(
        -(sigma**2) * ndi.generic_laplace(image, _second_derivative, extra_arguments=(sigma,))
    )


def _second_derivative(
    image: Gray, axis: int, output: Any, mode: str, cval: float, sigma: float
) -> Any:
    interrupt.check()
    order = [0, 0]
    order[axis] = 2
    return ndi.gaussian_filter(image, sigma, order, output, mode, cval)


def _is_round(responses: NDArray[np.float32], found: NDArray[np.int64]) -> Bool:
    """Return which peaks (scale, row, col) have similar curvatures in both directions, shape (n,).

    The border of a bright region also gives a response, which is curved only across the border.
    Lowe's test (IJCV 2004): the ratio of the principal curvatures, by the trace and determinant of
    the Hessian, is at most `MAX_CURVATURE_RATIO`.
    """
    k, r, c = found.T
    north, south = np.maximum(r - 1, 0), np.minimum(r + 1, responses.shape[1] - 1)
    west, east = np.maximum(c - 1, 0), np.minimum(c + 1, responses.shape[2] - 1)
    # Second derivatives by finite differences.
    twice = 2 * responses[k, r, c]
    row_row = responses[k, north, c] + responses[k, south, c] - twice
    col_col = responses[k, r, west] + responses[k, r, east] - twice
    diagonal = responses[k, north, west] + responses[k, south, east]
    row_col = (diagonal - responses[k, north, east] - responses[k, south, west]) / 4
    det = row_row * col_col - row_col**2
    limit = (MAX_CURVATURE_RATIO + 1) ** 2 / MAX_CURVATURE_RATIO
    return np.asarray((det > 0) & ((row_row + col_col) ** 2 < limit * det))


def _is_above_surroundings(
    image: Gray,
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
    radii: NDArray[np.float64],
    least: float,
) -> Bool:
    """Return which discs are brighter by `least` than their surroundings, shape (n,).

    In `MIN_DIRECTIONS` of 12 directions a pixel between 1 and 2 radii from the centre must be that
    much darker than the disc. This excludes texture and corners inside a larger object, which
    continues around them, but not a particle that touches a few others.
    """
    angles = np.arange(12) * (np.pi / 6)
    steps = np.linspace(1.0, 2.0, 5)
    # The darkest of five pixels in each direction outside of the disc, n x 12.
    distance = radii[:, None, None] * steps[None, :, None]  # n x steps x 1
    y = rows[:, None, None] + distance * np.sin(angles)
    x = cols[:, None, None] + distance * np.cos(angles)
    outside = ndi.map_coordinates(image, [y, x], order=1, mode="nearest").min(axis=1)
    # The mean of samples inside of the disc, n.
    distance = radii[:, None, None] * np.array([0.3, 0.6])[None, :, None]
    y = rows[:, None, None] + distance * np.sin(angles)
    x = cols[:, None, None] + distance * np.cos(angles)
    inside = ndi.map_coordinates(image, [y, x], order=1, mode="nearest").mean(axis=(1, 2))
    darker = outside < inside[:, None] - least
    return np.asarray(darker.sum(axis=1) >= MIN_DIRECTIONS)


def _suppress_weaker(
    blobs: NDArray[np.float64], responses: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Remove each blob whose distance to a stronger one is below half the larger diameter."""
    if not len(blobs):
        return blobs
    blobs = blobs[np.argsort(-responses, kind="stable")]
    near = spatial.KDTree(blobs[:, :2]).query_pairs(
        float(blobs[:, 2].max()) / 2, output_type="ndarray"
    )
    pairs = near[np.lexsort((near[:, 1], near[:, 0]))]
    distance = np.linalg.norm(blobs[pairs[:, 0], :2] - blobs[pairs[:, 1], :2], axis=1)
    too_close = distance < 0.5 * np.maximum(blobs[pairs[:, 0], 2], blobs[pairs[:, 1], 2])
    keep = np.ones(len(blobs), dtype=bool)
    for stronger, weaker in pairs[too_close]:
        if keep[stronger]:
            keep[weaker] = False
    return np.asarray(blobs[keep], dtype=np.float64)
