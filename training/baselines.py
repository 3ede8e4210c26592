"""Classical segmentation to compare with: what scikit-image does in a dozen lines.

The parameters were fixed before anything was measured. Both start from the foreground of
`core.facts`: Otsu's threshold on the image with uneven illumination removed; whether objects are
bright or dark is decided there too, because these methods, unlike SAM, have to be told.
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

LEAST_AREA = 16  # px
DISTANCE = 7  # px, least distance of two markers in the distance transform
LOG_SIDE = 512  # px: blobs are sought in an image reduced to this long side
LOG_SIGMAS = (2.0, 32.0, 8)  # px, lowest, highest, number
LOG_THRESHOLD = 0.1  # of grey values 0 to 1


def otsu_watershed(facts: ImageCues) -> np.ndarray:
    """Otsu's foreground, split by a watershed of its smoothed distance transform."""
    depth = filters.gaussian(ndi.distance_transform_edt(facts.foreground), 1.0)
    at = feature.peak_local_max(
        depth, min_distance=DISTANCE, labels=facts.components, exclude_border=False
    )
    return _flood(-depth, at, facts.foreground)


def log_watershed(facts: ImageCues) -> np.ndarray:
    """Blobs by the Laplacian of Gaussian; a watershed of the grey values grows them in the same."""
    bright = facts.gray if facts.polarity == "bright" else 1 - facts.gray
    scale = min(1.0, LOG_SIDE / max(bright.shape))
    small = transform.rescale(bright, scale, anti_aliasing=True) if scale < 1 else bright
    low, high, count = LOG_SIGMAS
    blobs = feature.blob_log(
        small, low, high, num_sigma=count, threshold=LOG_THRESHOLD, log_scale=True
    )
    at = np.minimum((blobs[:, :2] / scale).astype(int), np.array(bright.shape) - 1)
    return _flood(-filters.gaussian(bright, 1.0), at, facts.foreground)


def _flood(height: np.ndarray, at: np.ndarray, mask: np.ndarray) -> np.ndarray:
    markers = np.zeros(mask.shape, np.int32)
    markers[tuple(at.T)] = np.arange(1, len(at) + 1)
    labels = segmentation.watershed(height, markers * mask, mask=mask)
    small = np.bincount(labels.ravel()) < LEAST_AREA
    return np.where(small[labels], 0, labels)


BASELINES: dict[str, Callable[[ImageCues], np.ndarray]] = {
    "otsu_watershed": otsu_watershed,
    "log_watershed": log_watershed,
}


def segmented(rgb: np.ndarray) -> dict[str, np.ndarray]:
    """Label images (H, W) of an RGB uint8 image, by baseline."""
    facts = image_cues(rgb)
    return {name: method(facts) for name, method in BASELINES.items()}
