"""The masks that one configuration keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_samstar.core.amg.config import AmgConfig


@dataclass(frozen=True, eq=False)
class Selection:
    """The masks that one configuration keeps, in upstream's order; k masks.

    Attributes
    ----------
    config : AmgConfig
    ids : ndarray of int64, shape (k,)
        Mask ids in the bank's store.
    predicted_iou, stability : ndarray of float32, shape (k,)
    points : ndarray of float64, shape (k, 2)
        The prompt of each mask as (row, col), px of the image; the centre of its box for a mask
        that was given.
    boxes : ndarray of int64 or float32, shape (k, 4)
        (x0, y0, x1, y1), inclusive, px of the image; upstream's frame and type.
    crop_boxes : ndarray of int64 or float32, shape (k, 4)
        (x0, y0, x1, y1), px of the image; upstream's frame and type.
    candidates : ndarray of int64, shape (k,)
        Ids of the masks as SAM proposed them; `ids` differs where small regions were removed.
    probability : ndarray of float32, shape (k,)
        To be an object; see `likelihood`.
    """

    config: AmgConfig
    ids: NDArray[np.int64]
    predicted_iou: NDArray[np.float32]
    stability: NDArray[np.float32]
    points: NDArray[np.float64]
    boxes: NDArray[Any]
    crop_boxes: NDArray[Any]
    candidates: NDArray[np.int64]
    probability: NDArray[np.float32]

    @classmethod
    def empty(cls, config: AmgConfig) -> Selection:
        """Return a selection that keeps nothing."""
        ids, scores, boxes = np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros((0, 4))
        return cls(config, ids, scores, scores, np.zeros((0, 2)), boxes, boxes, ids, scores)

    def __len__(self) -> int:
        return len(self.ids)
