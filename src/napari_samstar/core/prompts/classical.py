"""Boxes of a classical segmentation, alone or together with points.

Otsu's threshold or a detector of spots often knows where the objects are, and SAM where their
outlines are. So SAM is asked for what lies in the boxes of the former. Their own masks compete with
SAM's answers, and duplicates are removed among all of them.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_samstar.core import interrupt
from napari_samstar.core.cues.classical import (
    MIN_AREA,
    Segmentation,
    classical_segmentations,
    windows,
)
from napari_samstar.core.prompts.base import Crop, GivenMasks, Prompts, PromptSettings, Proposals
from napari_samstar.core.prompts.centres import CentreSource
from napari_samstar.core.prompts.grid import GridSource

MAX_OBJECTS = 2000
"""Objects of one crop, by all methods together; those of the largest contrast are taken."""

MAX_PIXELS = 32
"""All their windows together have at most this many pixels for each one of the crop."""

MARGIN = 1.0
"""Between an object and its box, px."""

SAME_BOX = 0.9
"""Boxes whose IoU is above this are the same prompt."""

USUAL_BOXES = 300
"""Boxes per crop, for estimates of time and memory before it is segmented."""


class ClassicalSource:
    """The boxes of what classical methods find in each image and crop, and their masks."""

    name = "classical"
    label = "Classical boxes"
    help = (
        "Around what Otsu's threshold and a detector of spots find; their masks compete with SAM's."
    )

    def key(self, settings: PromptSettings, layer: int, sees_centres: bool) -> Hashable:
        """Return nothing: the boxes depend on the image alone."""
        return ()

    def expected(self, key: Hashable) -> int:
        """Return what is usual."""
        return USUAL_BOXES

    def prompts(self, key: Hashable, crop: Crop) -> Proposals:
        """Return one box for each object, and the objects' own masks; none in a flat image."""
        return classical_proposals(crop.rgb)


class CombinedSource:
    """The model's centres, or the grid for a model that sees none, and the classical boxes."""

    name = "combined"
    label = "Centres and classical boxes"
    help = (
        "The centres that the model sees (else the grid of points) and the boxes and masks of "
        "a classical segmentation, together."
    )

    def __init__(self) -> None:
        self._centres, self._grid = CentreSource(), GridSource()

    def key(self, settings: PromptSettings, layer: int, sees_centres: bool) -> Hashable:
        """Return the key of the points."""
        points = self._centres if sees_centres else self._grid
        return points.key(settings, layer, sees_centres)

    def expected(self, key: Hashable) -> int:
        """Return the number of points, and the usual number of boxes."""
        return self._points(key).expected(key) + USUAL_BOXES

    def prompts(self, key: Hashable, crop: Crop) -> Proposals:
        """Return the points, the boxes, and the masks of the classical segmentation."""
        boxes = classical_proposals(crop.rgb)
        return Proposals((self._points(key).prompts(key, crop), *boxes.groups), boxes.given)

    def _points(self, key: Hashable) -> CentreSource | GridSource:
        return self._centres if key == () else self._grid


def classical_proposals(rgb: NDArray[np.uint8]) -> Proposals:
    """Return one group of boxes, px of the crop, and the masks that they surround."""
    rows, cols = rgb.shape[:2]
    given = _objects(classical_segmentations(rgb), MAX_PIXELS * rows * cols)
    margins = np.array([-MARGIN, -MARGIN, MARGIN, MARGIN])
    boxes = np.clip(given.boxes + margins, 0, [cols, rows, cols, rows])
    return Proposals((Prompts(boxes=_distinct(boxes)),), given)


def _objects(found: Sequence[Segmentation], most_pixels: int) -> GivenMasks:
    """Return the objects of all segmentations, the largest contrast first, within the bounds."""
    every = [
        (-one.contrast[k], number, k, window)
        for number, one in enumerate(found)
        for k, window in enumerate(windows(one))
    ]
    every.sort(key=lambda row: row[:3])
    levels: list[NDArray[np.float32]] = []
    corners: list[tuple[int, int]] = []
    for _, number, k, window in every:
        interrupt.check()
        cut = _one_piece(found[number], k + 1, window)
        most_pixels -= cut.size
        if most_pixels < 0 or len(levels) == MAX_OBJECTS:
            break
        if np.count_nonzero(cut > 0) >= MIN_AREA:
            levels.append(cut)
            corners.append((window[1].start, window[0].start))
    return GivenMasks(tuple(levels), np.array(corners, dtype=np.int64).reshape(-1, 2))


def _one_piece(found: Segmentation, label: int, window: tuple[slice, slice]) -> NDArray[np.float32]:
    """Return the levels in an object's window, its largest piece alone above 0."""
    outside = np.float32(-np.inf)
    levels = np.where(found.basins[window] == label, found.levels[window], outside)
    n, pieces, stats, _ = cv2.connectedComponentsWithStats(
        (levels > 0).astype(np.uint8), connectivity=4
    )
    if n > 2:
        largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
        levels[(pieces > 0) & (pieces != largest)] = outside
    return np.asarray(levels, dtype=np.float32)


def _distinct(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the boxes (n, 4) without those that are the same as an earlier one."""
    import torch
    from torchvision.ops import nms

    if not len(boxes):
        return boxes
    earlier_first = torch.arange(len(boxes), 0, -1, dtype=torch.float64)
    return np.asarray(boxes[nms(torch.from_numpy(boxes), earlier_first, SAME_BOX).numpy()])
