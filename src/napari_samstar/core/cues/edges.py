"""Noise, and the intensity edges that stand out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pywt  # type: ignore[import-untyped]
from numpy.typing import NDArray
from scipy import ndimage as ndi
from skimage import feature

if TYPE_CHECKING:
    from napari_samstar.core.masks.store import Bool

Gray = NDArray[np.float32]


def edges_of(gray: Gray) -> Bool:
    """Return Canny edges above the noise, one pixel wide.

    White noise of deviation s gives a Gaussian gradient (scale sigma) of deviation
    s / (sigma^2 sqrt(8 pi)) per axis; an edge must stand out of that and of the image's bulk.
    """
    sigma = 1.5
    noise = noise_of(gray) / (sigma**2 * np.sqrt(8 * np.pi))
    slope = ndi.gaussian_gradient_magnitude(gray, sigma)
    high = max(6 * noise, float(np.quantile(slope, 0.8)))
    if high <= 0:
        return np.zeros(gray.shape, dtype=bool)
    # Canny's thresholds apply to an unnormalised Sobel magnitude, 8 times the slope per pixel.
    thin = feature.canny(gray, sigma, low_threshold=4 * high, high_threshold=8 * high)
    return np.asarray(thin, dtype=bool)


def noise_of(image: Gray) -> float:
    """Return the deviation of white noise by the finest diagonal wavelet detail.

    Median of its size over 0.6745 (Donoho and Johnstone, Biometrika 1994). Exact zeros come from
    clipped or painted regions and are left out; without any detail the noise is 0.
    """
    _, (_, _, detail) = pywt.dwt2(image, "db2")
    sizes = np.abs(detail[detail != 0])
    return float(np.median(sizes)) / 0.6745 if len(sizes) else 0.0
