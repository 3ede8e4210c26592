"""Choose the scale at which an image is shown to SAM, by the size of its objects.

SAM does not see objects below about 12 px of its frame. The bundled model predicts for each cell of
its frame how large the object there is; a few frames of it, from coarse to fine, tell whether the
whole image fits one frame, and if not, how much each tile should show.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_samstar.core.image.tiles import tile_side, tiles_of
from napari_samstar.core.progress import Progress
from napari_samstar.core.prompts.centres import peaks

if TYPE_CHECKING:
    from napari_samstar.core.image.micrograph import Micrograph
    from napari_samstar.core.models.backend import LoadedModel
    from napari_samstar.core.models.encoder import EmbeddingCache

SMALLEST = 12.0
"""Side of the median object (square root of its area), px of the frame, below which the image is
cut into tiles. The bundled model finds a quarter of objects of 8 to 11 px, half of those of 11 to
16 px; above that no rule was better than one frame on images of up to 1,536 px."""

TARGET = 20.0
"""Side of the median object that tiles aim at, px of the frame; chosen on 21 training images."""

FINEST = 4.0
"""Highest scale at which sizes are measured."""

MOST_ENLARGED = 1.41
"""Highest scale that is chosen: enlarging adds no detail. On the three training images with objects
below 12 px of the frame at full resolution, F1 rose by 0.035, 0.007 and 0.050 at this scale, and
fell on two of them at twice this scale and more."""

LARGE = 0.3
"""An image that fits the frame at less than this scale is looked at in windows first: as a whole
its objects may be too small to be seen at all."""

FIRST = 0.5
"""Scale of these windows."""

STEADY = 1.6
"""Looking goes on until the scale wanted is within this factor of the scale looked at."""

N_LOOKS = 5
N_PILOTS = 3
"""Most scales that are looked at, and windows for each."""

LEAST_HEAT = 0.4
LEAST_OBJECTS = 3
"""Objects count from this height of the centre map, and as evidence from this number."""


@dataclass(frozen=True)
class TileScale:
    """The chosen scale.

    Attributes
    ----------
    scale : float
        px of the frame for each px of the image; 0: the whole image is one frame.
    side : float, optional
        Square root of the area of the median object, px of the image; None where none was seen.
    """

    scale: float
    side: float | None

    def sentence(self, shape: tuple[int, int], frame_side: int) -> str:
        """Return what was chosen and why, for the user; empty where the image is one frame."""
        if not self.scale:
            return ""
        n = len(tiles_of(shape, frame_side, self.scale))
        size = "" if self.side is None else f", because objects are about {self.side:.0f} px wide"
        return f"The image was cut into {n} tiles at scale {self.scale:g}{size}."


def choose_tile_scale(
    image: Micrograph,
    frame_side: int,
    sizer: LoadedModel,
    cache: EmbeddingCache,
    side: float | None = None,
) -> Generator[Progress, None, TileScale]:
    """Choose the scale for an image; yields progress.

    Parameters
    ----------
    frame_side : int
        Of the model that will segment the image, px.
    sizer : LoadedModel
        A model that predicts the sizes of objects, such as the bundled one.
    side : float, optional
        Square root of the area of a typical object, px of the image, where the user knows it.
    """
    whole = frame_side / max(image.shape)
    if side is None:
        side = yield from _median_side(image, sizer, cache)
    if side is None or side * whole >= SMALLEST:
        return TileScale(0.0, side)
    scale = round(min(TARGET / side, MOST_ENLARGED), 3)
    # One tile would be the whole image at its own scale
    fits = len(tiles_of(image.shape, frame_side, scale)) == 1
    return TileScale(0.0 if fits else scale, side)


def _median_side(
    image: Micrograph, sizer: LoadedModel, cache: EmbeddingCache
) -> Generator[Progress, None, float | None]:
    """Return the side of the median object, px of the image; None where too few are seen."""
    whole = sizer.backend.frame_side / max(image.shape)
    scale = whole if whole >= LARGE else FIRST
    side = None
    for _ in range(N_LOOKS):
        yield Progress(0, 0, "Looking at the sizes of objects")
        sides = _sides(image, sizer, cache, scale)
        if len(sides) >= LEAST_OBJECTS:
            side = float(np.median(sides))
            wanted = min(max(TARGET / side, whole), FINEST)
        else:  # nothing to be seen: perhaps it is too small
            wanted = min(2 * scale, FINEST)
        if max(wanted / scale, scale / wanted) < STEADY:
            break
        scale = wanted
    return side


def _sides(
    image: Micrograph, sizer: LoadedModel, cache: EmbeddingCache, scale: float
) -> NDArray[np.float64]:
    """Return the sides of the objects seen in a few windows at a scale, px of the image."""
    found = []
    for box in _pilots(image, sizer.backend.frame_side, scale):
        embedding = cache.encode(sizer, image.crop(box))
        seen = sizer.backend.centre_map(embedding)
        assert seen is not None
        assert seen.sizes is not None
        rows, cols = (-(-n // seen.stride) for n in embedding.input_size)
        at = peaks(seen.heat[:rows, :cols], LEAST_HEAT)
        at = at[seen.heat[at[:, 0], at[:, 1]] >= LEAST_HEAT]
        px_of_frame = max(embedding.input_size) / max(embedding.original_size)
        found.append(seen.sizes[at[:, 0], at[:, 1]] / px_of_frame)
    return np.concatenate(found).astype(np.float64)


def _pilots(image: Micrograph, frame_side: int, scale: float) -> list[tuple[int, int, int, int]]:
    """Return windows (x0, y0, x1, y1) with much contrast that fill the frame at a scale."""
    rows, cols = image.shape
    side = tile_side(frame_side, scale)
    if side >= max(rows, cols):
        return [(0, 0, cols, rows)]
    boxes = [
        (x, y, min(x + side, cols), min(y + side, rows))
        for y in _starts(rows, side)
        for x in _starts(cols, side)
    ]
    contrast = [float(image.crop(box)[::4, ::4].std()) for box in boxes]
    order = np.argsort(contrast, kind="stable")[::-1][:N_PILOTS]
    return [boxes[k] for k in sorted(order.tolist())]


def _starts(length: int, side: int) -> list[int]:
    """Return up to three places along an axis: both ends and the middle."""
    last = max(length - side, 0)
    return sorted({0, last // 2, last})
