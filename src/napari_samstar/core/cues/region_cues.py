"""Cues of the part of an image that is segmented; there are none outside."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage as ndi
from skimage import measure

from napari_samstar.core.cues.image_cues import EDGE_TOLERANCE, ImageCues, Polarity, image_cues

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_samstar.core.masks.store import Bool


def cues_inside(rgb: NDArray[np.uint8], inside: Bool, polarity: Polarity = "auto") -> ImageCues:
    """Estimate foreground, edges and blobs of the pixels of a region.

    Parameters
    ----------
    rgb : ndarray of uint8, shape (H, W, 3)
    inside : ndarray of bool, shape (H, W)
        At least one pixel.
    polarity : {"auto", "bright", "dark"}
        See `image_cues`.
    """
    rows, cols = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    place = slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1)
    part, seen = rgb[place].copy(), inside[place]
    # A grey of its own would be an object or a hole.
    part[~seen] = np.median(part[seen], axis=0).astype(np.uint8)
    found = image_cues(part, polarity)
    # The border of the region is no edge of an object.
    safe = ndi.binary_erosion(seen, iterations=2 * EDGE_TOLERANCE, border_value=1)
    edges = found.edges & safe
    share = int(edges.sum()) / max(int(found.edges.sum()), 1)
    foreground = _in_image(found.foreground & seen, place, inside.shape)
    components = measure.label(foreground, connectivity=1).astype(np.int32)
    blobs = found.blobs + np.array([place[0].start, place[1].start, 0])
    at = blobs[:, :2].round().astype(int)
    return dataclasses.replace(
        found,
        gray=(rgb.mean(axis=2, dtype=np.float32) / 255),
        foreground=foreground,
        components=components,
        component_areas=np.bincount(components.ravel())[1:].astype(np.int64),
        blobs=blobs[inside[at[:, 0], at[:, 1]]],
        edges=_in_image(edges, place, inside.shape),
        n_edges=round(found.n_edges * share),
    )


def _in_image(part: Bool, place: tuple[slice, slice], shape: tuple[int, ...]) -> Bool:
    whole = np.zeros(shape, dtype=bool)
    whole[place] = part
    return whole
