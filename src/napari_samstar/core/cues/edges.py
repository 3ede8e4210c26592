"""Estimate of the noise, and detection of intensity edges above it."""

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
"""Intensities 0 to 1, shape (H, W)."""


def detect_edges(gray: Gray) -> Bool:
    """Return Canny edges above the noise, one pixel wide: bool, shape (H, W).

    White noise of standard deviation s gives a Gaussian gradient (scale sigma) of standard
    deviation s / (sigma^2 sqrt(8 pi)) per axis. The upper threshold is six times that, or the 0.8
    quantile of the gradient magnitude if that is higher.
    """
    sigma = 1.5
    noise = noise_level(gray) / (sigma**2 * np.sqrt(8 * np.pi))
    slope = ndi.gaussian_gradient_magnitude(gray, sigma)
    high = max(6 * noise, float(np.quantile(slope, 0.8)))
    if high <= 0:
        return np.zeros(gray.shape, dtype=bool)
    # Canny's thresholds are of an unnormalised Sobel magnitude, 8 times the slope per pixel.
    thin = feature.canny(gray, sigma, low_threshold=4 * high, high_threshold=8 * high)
    return np.asarray(thin, dtype=bool)


def noise_level(image: Gray) -> float:
    """Return the standard deviation of white noise, from the finest diagonal wavelet detail.

    The median absolute coefficient over 0.6745 (Donoho and Johnstone, Biometrika 1994). Exact zeros
    come from saturated or synthetic regions and are left out; if all are 0, the noise is 0.
    """
    _, (_, _, detail) = pywt.dwt2(image, "db2")
    sizes = np.abs(detail[detail != 0])
    return float(np.median(sizes)) / 0.6745 if len(sizes) else 0.0
