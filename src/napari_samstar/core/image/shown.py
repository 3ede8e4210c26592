"""What SAM is shown of an image: its pixels, or a version of them in which objects may stand out.

A version is a function of the whole plane, whichever crop of it is asked for: overlapping tiles see
the same pixels. Only SAM sees it; what is measured is measured on the pixels themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.versions import MAIN_COLOUR, ORIGINAL, check_shown
from napari_samstar.core.memory import check_memory

if TYPE_CHECKING:
    from napari_samstar.core.image.micrograph import Micrograph

Rgb8: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]
Box: TypeAlias = tuple[int, int, int, int]

SIGMA = 1.5
"""Of the Gaussian of "smoothed", px."""

REACH = 6
"""How far that Gaussian reaches, px: it is cut off at 4 sigma."""

SPREAD = 3.0
"""Standard deviations along the main colour that become 0 and 255, on either side of the mean."""

BYTES_PER_PIXEL = 64
"""Memory that CLAHE needs for a while, measured with scikit-image 0.26."""


def shown_crop(image: Micrograph, box: Box, name: str) -> Rgb8:
    """Return what SAM is shown of a box (x0, y0, x1, y1), uint8 (h, w, 3), contiguous.

    Raises
    ------
    UserError
        Where there is no such version, a grey image has no main colour, or a large image does not
        fit in memory.
    """
    check_shown(name)
    return np.ascontiguousarray(_CROPS[name](image, box))


# --- the versions -----------------------------------------------------------------------------


def inverted(rgb: Rgb8) -> Rgb8:
    """Return the negative, 255 - v."""
    return np.asarray(255 - rgb)


def smoothed(rgb: Rgb8) -> Rgb8:
    """Return each channel after a Gaussian of `SIGMA` px; the border is continued by its pixels."""
    from scipy.ndimage import gaussian_filter

    values = gaussian_filter(
        rgb.astype(np.float32), (SIGMA, SIGMA, 0), mode="nearest", radius=(REACH, REACH, 0)
    )
    return np.asarray(np.rint(values).astype(np.uint8))


def local_contrast(rgb: Rgb8) -> Rgb8:
    """Return the plane after CLAHE (Zuiderveld, Graphics Gems IV, 1994), as scikit-image has it.

    Its windows are an eighth of the plane, so it must be the whole plane. The brightest channel is
    changed and the others with it, which keeps hue and saturation. A plane of one intensity stays
    as it is.
    """
    from skimage.exposure import equalize_adapthist

    value = rgb.max(axis=2)
    if not np.ptp(value):
        return rgb
    changed = np.rint(255 * equalize_adapthist(value)).astype(np.float32)
    # Black has no colour to keep.
    ratio = changed / np.maximum(value, 1)
    out = np.repeat(changed[..., np.newaxis].astype(np.uint8), 3, axis=2)
    for k in range(3):
        np.copyto(out[..., k], np.rint(ratio * rgb[..., k]).astype(np.uint8), where=value > 0)
    return out


@dataclass(frozen=True, eq=False)
class MainColour:
    """The first principal component of the colours of a plane.

    Attributes
    ----------
    mean, axis : ndarray of float64, shape (3,)
        Mean colour, and direction of the greatest variance, of length 1, towards brighter colours.
    deviation : float
        Standard deviation along it, 8-bit steps.
    """

    mean: NDArray[np.float64]
    axis: NDArray[np.float64]
    deviation: float

    @classmethod
    def of(cls, image: Micrograph) -> MainColour:
        """Measure a plane; UserError for a grey one."""
        if all(is_grey(band) for band in image.bands()):
            raise UserError(
                "The image is grey and has no main colour: show it to SAM in another way."
            )
        total, products, n = np.zeros(3), np.zeros((3, 3)), 0
        for band in image.bands():
            # Sums of whole numbers below 2**53: exact, in whatever order they are added.
            colours = band.reshape(-1, 3).astype(np.float64)
            total += colours.sum(axis=0)
            products += colours.T @ colours
            n += len(colours)
        mean = total / n
        variances, axes = np.linalg.eigh(products / n - np.outer(mean, mean))
        axis = axes[:, -1]
        return cls(mean, axis * (1 if axis.sum() >= 0 else -1), float(np.sqrt(variances[-1])))

    def grey(self, rgb: Rgb8) -> Rgb8:
        """Return pixels along the axis as three equal channels; `SPREAD` deviations are the ends.

        Ours.
        """
        # Sums written out: a product of matrices may round otherwise for another number of rows.
        off = [(rgb[..., k] - self.mean[k]) * self.axis[k] for k in range(3)]
        along = (off[0] + off[1] + off[2]) / (SPREAD * self.deviation)
        grey = np.rint(np.clip(127.5 * (1 + along), 0, 255)).astype(np.uint8)
        return np.repeat(grey[..., np.newaxis], 3, axis=2)


def is_grey(rgb: Rgb8) -> bool:
    """Return whether the three channels are equal everywhere."""
    return bool((rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 0] == rgb[..., 2]).all())


# --- crops of them ----------------------------------------------------------------------------


def _smoothed(image: Micrograph, box: Box) -> Rgb8:
    """Smooth a crop and what the Gaussian reaches around it: the same as to smooth all."""
    x0, y0, x1, y1 = box
    rows, cols = image.shape
    left, top = max(x0 - REACH, 0), max(y0 - REACH, 0)
    around = image.crop((left, top, min(x1 + REACH, cols), min(y1 + REACH, rows)))
    return smoothed(around)[y0 - top : y1 - top, x0 - left : x1 - left]


def _local_contrast(image: Micrograph, box: Box) -> Rgb8:
    plane = image.derived.get("local_contrast")
    if plane is None:
        n_bytes = BYTES_PER_PIXEL * image.shape[0] * image.shape[1]
        check_memory(n_bytes, "Local contrast", "crop the image, or show it in another way")
        plane = image.derived["local_contrast"] = local_contrast(image.pixels)
    x0, y0, x1, y1 = box
    return np.asarray(plane[y0:y1, x0:x1])


def _main_colour(image: Micrograph, box: Box) -> Rgb8:
    colour = image.derived.get(MAIN_COLOUR)
    if colour is None:
        colour = image.derived[MAIN_COLOUR] = MainColour.of(image)
    return np.asarray(colour.grey(image.crop(box)))


_CROPS: dict[str, Callable[[Micrograph, Box], Rgb8]] = {
    ORIGINAL: lambda image, box: image.crop(box),
    "inverted": lambda image, box: inverted(image.crop(box)),
    "smoothed": _smoothed,
    "local_contrast": _local_contrast,
    MAIN_COLOUR: _main_colour,
}
"""By the names of `versions.VERSIONS`."""
