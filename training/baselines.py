"""Classical segmentation methods for comparison, with scikit-image.

The parameters were fixed before the first measurement. Both methods start from the foreground of
`core.cues`: Otsu's threshold after removal of uneven illumination. The cues also estimate whether
objects are bright or dark, which these methods, unlike SAM, need to know.

The prompt source "classical" has a segmentation of its own, `core.cues.classical`: it looks for
both polarities, must be quick, and may change, which what others are compared with must not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage as ndi
from skimage import feature, filters, segmentation, transform

from napari_samstar.core.cues.image_cues import image_cues

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_samstar.core.cues.image_cues import ImageCues

MIN_AREA = 16  # px
MIN_DISTANCE = 7  # px between two markers of the watershed
LOG_SIDE = 512  # px, long side of the reduced image in which blobs are detected
LOG_SIGMAS = (2.0, 32.0, 8)  # px, lowest, highest, number
LOG_THRESHOLD = 0.1  # for grey values from 0 to 1


def otsu_watershed(cues: ImageCues) -> np.ndarray:
    """Otsu's foreground, split by a watershed of its smoothed distance transform."""
    depth = filters.gaussian(ndi.distance_transform_edt(cues.foreground), 1.0)
    at = feature.peak_local_max(
        depth, min_distance=MIN_DISTANCE, labels=cues.components, exclude_border=False
    )
    return _watershed(-depth, at, cues.foreground)


def log_watershed(cues: ImageCues) -> np.ndarray:
    """Watershed of the grey values in Otsu's foreground, with blobs (LoG) as markers."""
    bright = cues.gray if cues.polarity == "bright" else 1 - cues.gray
    scale = min(1.0, LOG_SIDE / max(bright.shape))
    small = transform.rescale(bright, scale, anti_aliasing=True) if scale < 1 else bright
    low, high, count = LOG_SIGMAS
    blobs = feature.blob_log(
        small, low, high, num_sigma=count, threshold=LOG_THRESHOLD, log_scale=True
    )
    at = np.minimum((blobs[:, :2] / scale).astype(int), np.array(bright.shape) - 1)
    return _watershed(-filters.gaussian(bright, 1.0), at, cues.foreground)


def _watershed(height: np.ndarray, at: np.ndarray, mask: np.ndarray) -> np.ndarray:
    markers = np.zeros(mask.shape, np.int32)
    markers[tuple(at.T)] = np.arange(1, len(at) + 1)
    labels = segmentation.watershed(height, markers * mask, mask=mask)
    small = np.bincount(labels.ravel()) < MIN_AREA
    return np.where(small[labels], 0, labels)


BASELINES: dict[str, Callable[[ImageCues], np.ndarray]] = {
    "otsu_watershed": otsu_watershed,
    "log_watershed": log_watershed,
}


def segmented(rgb: np.ndarray) -> dict[str, np.ndarray]:
    """Label images (H, W) of an RGB uint8 image, by baseline."""
    cues = image_cues(rgb)
    return {name: method(cues) for name, method in BASELINES.items()}
