"""How a large image is cut into overlapping tiles."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product

HALO = 64
"""Overlap of a tile's core with its neighbours on each side, px of the model's frame."""

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Tile:
    """One tile of an image.

    Attributes
    ----------
    box : (x0, y0, x1, y1)
        What the model sees, px of the image, half open.
    core : (x0, y0, x1, y1)
        The part that no other tile's core covers; the cores fill the image.
    """

    box: Box
    core: Box


def tile_side(frame_side: int, scale: float) -> int:
    """Return the side of a tile in px of the image, so that it fills the frame at `scale`.

    Parameters
    ----------
    frame_side : int
        Side of the model's frame, px.
    scale : float
        px of the frame for each px of the image.
    """
    return max(2, round(frame_side / scale))


def tiles_of(shape: tuple[int, int], frame_side: int, scale: float) -> tuple[Tile, ...]:
    """Return the tiles of an image of `shape` (rows, columns), row by row.

    All have the same size, except along an axis on which the image is smaller than a tile. They are
    spread evenly, and overlap by at least two halos.
    """
    side = tile_side(frame_side, scale)
    halo = min(round(HALO / scale), side // 4)
    rows, cols = (_spans(n, side, halo) for n in shape)
    return tuple(
        Tile((c[0], r[0], c[1], r[1]), (c[2], r[2], c[3], r[3])) for r, c in product(rows, cols)
    )


def _spans(length: int, side: int, halo: int) -> list[Box]:
    """Return (start, end, core start, core end) of the tiles along one axis."""
    if length <= side:
        return [(0, length, 0, length)]
    n = -(-(length - 2 * halo) // (side - 2 * halo))
    starts = [round(k * (length - side) / (n - 1)) for k in range(n)]
    middles = [(before + side + after) // 2 for before, after in pairwise(starts)]
    edges = [0, *middles, length]
    return [(s, s + side, *core) for s, core in zip(starts, pairwise(edges), strict=True)]
