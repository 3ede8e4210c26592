"""Candidates in a region of the image: those outside are dropped, those at its border clipped."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_samstar.core.masks.store import PackedMask

if TYPE_CHECKING:
    from napari_samstar.core.amg.candidates import Candidates
    from napari_samstar.core.image.region import Region
    from napari_samstar.core.masks.store import Bool

LEAST_INSIDE = 0.5
"""A mask counts where more than this share of its pixels lies in the region."""


def within(candidates: Candidates, region: Region, shape: tuple[int, int]) -> Candidates:
    """Return the candidates that lie in a region of an image of a shape.

    A mask with half of its pixels outside is dropped; of others, what lies outside is cut off.
    """
    rows: list[int] = []
    masks: list[PackedMask] = []
    for k, mask in enumerate(candidates.masks):
        found = _clipped(mask, region, shape)
        if found is not None:
            rows.append(k)
            masks.append(found)
    kept = candidates.take(torch.tensor(rows, dtype=torch.int64))
    boxes = kept.boxes.clone()
    x0, y0 = candidates.crop_box[:2]
    for k, (row, mask) in enumerate(zip(rows, masks, strict=True)):
        if mask is not candidates.masks[row]:
            r0, c0, r1, c1 = mask.box
            boxes[k] = torch.tensor([c0 - x0, r0 - y0, c1 - 1 - x0, r1 - 1 - y0]).to(boxes)
    return dataclasses.replace(kept, masks=tuple(masks), boxes=boxes)


def _clipped(mask: PackedMask, region: Region, shape: tuple[int, int]) -> PackedMask | None:
    """Return a mask, clipped where it reaches out of a region; None where it does not count."""
    row0, col0, row1, col1 = mask.box
    inside = region.window(row0, col0, row1, col1)
    whole = bool(inside.all())
    if region.border_objects and whole:
        return mask
    window = mask.window
    n_inside = int(np.count_nonzero(window & inside))
    if n_inside <= LEAST_INSIDE * mask.area:
        return None
    if not region.border_objects and _touches(window, mask, region, shape):
        return None
    return mask if n_inside == mask.area else PackedMask.tight(window & inside, row0, col0)


def _touches(window: Bool, mask: PackedMask, region: Region, shape: tuple[int, int]) -> bool:
    """Return whether a mask touches the border of the image or of the region."""
    row0, col0, row1, col1 = mask.box
    if row0 == 0 or col0 == 0 or row1 == shape[0] or col1 == shape[1]:
        return True
    around = region.window(row0 - 1, col0 - 1, row1 + 1, col1 + 1)
    if around.all():
        return False
    grown = np.pad(window, 1)
    for axis in (0, 1):
        grown = grown | np.roll(grown, 1, axis) | np.roll(grown, -1, axis)
    return bool((grown & ~around).any())
