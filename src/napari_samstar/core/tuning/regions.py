"""Regions of a large image: a search works on a few of them, and holds others out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_samstar.core.image.loaded import LoadedImage
from napari_samstar.core.image.mapping import ImageMapping
from napari_samstar.core.image.tiles import HALO, tile_side, tiles_of
from napari_samstar.core.tuning.inputs import ExtraImage

if TYPE_CHECKING:
    from napari_samstar.core.image.micrograph import Micrograph
    from napari_samstar.core.rewards.marks import Marks
    from napari_samstar.core.tuning.inputs import Truth

MOST_TILES = 8
"""An image of no more tiles is searched as a whole."""

RANKS = ((0.9, False), (0.7, True), (0.5, False), (0.3, True))
"""Which regions are taken, by the rank of their contrast among all (0 to 1), and whether each is
held out: two to search on, two to check the choice on, none of the emptiest and flattest."""


@dataclass(frozen=True)
class Region:
    """A part of an image, about two tiles high and wide.

    Attributes
    ----------
    box : (x0, y0, x1, y1)
        px of the image.
    held_out : bool
        Whether the search never sees it.
    """

    box: tuple[int, int, int, int]
    held_out: bool


def regions_of(image: Micrograph, frame_side: int, tile_scale: float) -> tuple[Region, ...]:
    """Return the regions to search on and to hold out; none where the image has few tiles.

    They do not overlap. Which ones are taken depends on the image alone.
    """
    if not tile_scale or len(tiles_of(image.shape, frame_side, tile_scale)) <= MOST_TILES:
        return ()
    tile = tile_side(frame_side, tile_scale)
    side = 2 * tile - 2 * min(round(HALO / tile_scale), tile // 4)
    rows, cols = image.shape
    boxes = [
        (x, y, x + min(side, cols), y + min(side, rows))
        for y in _starts(rows, side)
        for x in _starts(cols, side)
    ]
    if len(boxes) < len(RANKS):
        return ()
    contrast = np.array([float(image.crop(box)[::4, ::4].std()) for box in boxes])
    order = np.argsort(contrast, kind="stable").tolist()
    found: list[Region] = []
    for rank, held_out in RANKS:
        position = order[round(rank * (len(order) - 1))]
        if boxes[position] in {region.box for region in found}:
            position = next(k for k in order[::-1] if boxes[k] not in {r.box for r in found})
        found.append(Region(boxes[position], held_out))
    return tuple(found)


def _starts(length: int, side: int) -> list[int]:
    """Return the places of regions along an axis; they do not overlap."""
    n = max(length // side, 1)
    return [round((k + 0.5) * length / n - min(side, length) / 2) for k in range(n)]


def region_image(
    image: Micrograph, region: Region, marks: Marks, truth: Truth | None
) -> ExtraImage:
    """Return a region as an image of its own, with the marks and the truth that lie in it."""
    x0, y0, x1, y1 = region.box
    rows, cols = slice(y0, y1), slice(x0, x1)
    part = LoadedImage(
        image.crop(region.box),
        rgb=True,
        pixel_size=image.pixel_size,
        unit=image.unit,
        name=f"{image.name} at {y0},{x0}",
        mapping=ImageMapping(stretch="none"),
    )
    inside = None if truth is None else truth[rows, cols]
    return ExtraImage(part, region.held_out, marks.window(rows, cols), inside)
