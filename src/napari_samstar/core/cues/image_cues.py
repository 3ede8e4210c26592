"""Estimates of foreground, edges and blobs of an image.

The rewards compare masks with these estimates, which do not depend on SAM.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from skimage import filters, measure

from napari_samstar.core import interrupt
from napari_samstar.core.cues.blobs import detect_blobs
from napari_samstar.core.cues.edges import Gray, detect_edges
from napari_samstar.core.cues.foreground import (
    best_threshold,
    polarity_score,
    remove_specks,
    subtract_background,
)
from napari_samstar.core.masks.store import Bool, Words, canvas_of

Polarity = Literal["auto", "bright", "dark"]

EDGE_TOLERANCE = 2
"""Distance, px, from an intensity edge within which a contour counts as lying on it."""


@dataclass(frozen=True, eq=False)
class ImageCues:
    """Independent estimates for one image of H x W pixels.

    Attributes
    ----------
    gray : ndarray of float32, shape (H, W)
        Mean of the channels, 0 to 1.
    foreground : ndarray of bool, shape (H, W)
        Estimate of the pixels that belong to objects.
    components : ndarray of int32, shape (H, W)
        Labels of the connected (4-neighbour) foreground regions, 0 is background.
    component_areas : ndarray of int64, shape (n,)
        Area of components 1, 2, ..., px.
    blobs : ndarray of float64, shape (m, 3)
        Row, column and diameter of each blob (small round object), px.
    edges : ndarray of bool, shape (H, W)
        Pixels within `EDGE_TOLERANCE` of an intensity edge.
    n_edges : int
        Number of pixels of the one pixel wide edges.
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
        """Return foreground and edges, bit-packed; see `canvas_of`."""
        return canvas_of(self.foreground), canvas_of(self.edges)


def image_cues(rgb: NDArray[np.uint8], polarity: Polarity = "auto") -> ImageCues:
    """Estimate foreground, edges and blobs of an image.

    Parameters
    ----------
    rgb : ndarray of uint8, shape (H, W, 3)
    polarity : {"auto", "bright", "dark"}
        Whether objects are brighter or darker than the background; "auto" estimates it.

    Returns
    -------
    ImageCues
    """
    gray: Gray = rgb.mean(axis=2, dtype=np.float32) / 255
    thin = detect_edges(gray)
    edges = np.asarray(ndi.binary_dilation(thin, iterations=EDGE_TOLERANCE), dtype=bool)
    interrupt.check()
    smooth = filters.gaussian(subtract_background(gray), sigma=1.0, preserve_range=True)
    bright = smooth > best_threshold(smooth, edges)
    if polarity == "auto":
        polarity = "bright" if polarity_score(smooth, bright) >= 0 else "dark"
    foreground = remove_specks(bright if polarity == "bright" else ~bright)
    components = measure.label(foreground, connectivity=1).astype(np.int32)
    contrast = float(smooth[bright].mean() - smooth[~bright].mean()) if bright.any() else 0.0
    return ImageCues(
        gray=gray,
        foreground=foreground,
        components=components,
        component_areas=np.bincount(components.ravel())[1:].astype(np.int64),
        blobs=detect_blobs(gray if polarity == "bright" else 1 - gray, foreground, contrast),
        edges=edges,
        n_edges=int(np.count_nonzero(thin)),
        polarity=polarity,
    )
