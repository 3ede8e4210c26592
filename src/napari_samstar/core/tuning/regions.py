"""Parts of a large image: a search works on a few of them, and holds others out."""

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

LEAST_INSIDE = 0.5
"""Share of a part that must lie in the region to segment."""

RANKS = ((0.9, False), (0.7, True), (0.5, False), (0.3, True))
"""Which parts are taken, by the rank of their contrast among all (0 to 1), and whether each is
held out: two to search on, two to check the choice on, none of the emptiest and flattest."""


@dataclass(frozen=True)
class SearchPart:
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


def parts_to_search(
    image: Micrograph, frame_side: int, tile_scale: float
) -> tuple[SearchPart, ...]:
    """Return the parts to search on and to hold out; none where the image has few tiles.

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
    # Little is learned from a part that lies mostly outside of the region to segment.
    boxes = [box for box in boxes if image.region.share(box) > LEAST_INSIDE]
    if len(boxes) < len(RANKS):
        return ()
    contrast = np.array([float(image.crop(box)[::4, ::4].std()) for box in boxes])
    order = np.argsort(contrast, kind="stable").tolist()
    found: list[SearchPart] = []
    for rank, held_out in RANKS:
        position = order[round(rank * (len(order) - 1))]
        if boxes[position] in {part.box for part in found}:
            position = next(k for k in order[::-1] if boxes[k] not in {r.box for r in found})
        found.append(SearchPart(boxes[position], held_out))
    return tuple(found)


def _starts(length: int, side: int) -> list[int]:
    """Return the places of parts along an axis; they do not overlap."""
    n = max(length // side, 1)
    return [round((k + 0.5) * length / n - min(side, length) / 2) for k in range(n)]


def part_image(
    image: Micrograph, part: SearchPart, marks: Marks, truth: Truth | None
) -> ExtraImage:
    """Return a part as an image of its own, with the marks and the truth that lie in it."""
    x0, y0, x1, y1 = part.box
    rows, cols = slice(y0, y1), slice(x0, x1)
    picture = LoadedImage(
        image.crop(part.box),
        rgb=True,
        pixel_size=image.pixel_size,
        unit=image.unit,
        name=f"{image.name} at {y0},{x0}",
        mapping=ImageMapping(
            stretch="none", region=image.region.cropped(part.box), data_bar="keep"
        ),
    )
    inside = None if truth is None else truth[rows, cols]
    return ExtraImage(picture, part.held_out, marks.window(rows, cols), inside)
