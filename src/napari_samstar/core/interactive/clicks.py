"""Prompts of one object (clicks, a box) and the mask predicted from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from napari_samstar.core.errors import UserError
from napari_samstar.core.interactive.placed_mask import Extent, mask_extent


@dataclass(frozen=True)
class Click:
    """One click, in px of the image (or of a window); positive inside the object."""

    row: float
    col: float
    positive: bool = True


@dataclass(frozen=True)
class BoxPrompt:
    """A box around the object, in px of the image, edges included."""

    row0: float
    col0: float
    row1: float
    col1: float

    def __post_init__(self) -> None:
        """Refuse a box without area."""
        if self.row1 <= self.row0 or self.col1 <= self.col0:
            raise UserError("The box has no area: drag it from corner to corner of the object.")


@dataclass(frozen=True)
class ClickPrompt:
    """All clicks on an object so far, and its box if there is one."""

    clicks: tuple[Click, ...] = ()
    box: BoxPrompt | None = None

    def __bool__(self) -> bool:
        return bool(self.clicks) or self.box is not None

    def add(self, click: Click) -> ClickPrompt:
        """Return the prompt with one more click."""
        return replace(self, clicks=(*self.clicks, click))

    def moved(self, rows: int, cols: int) -> ClickPrompt:
        """Return the prompt in a frame whose first pixel is (-rows, -cols) of this one."""
        if not rows and not cols:
            return self
        clicks = tuple(Click(c.row + rows, c.col + cols, c.positive) for c in self.clicks)
        box = self.box
        if box is not None:
            box = BoxPrompt(box.row0 + rows, box.col0 + cols, box.row1 + rows, box.col1 + cols)
        return ClickPrompt(clicks, box)

    @property
    def is_single_click(self) -> bool:
        """Whether the prompt is one click and no box."""
        return len(self.clicks) == 1 and self.box is None


@dataclass(frozen=True, eq=False)
class Prediction:
    """A mask predicted for a prompt.

    Attributes
    ----------
    mask : ndarray of bool, shape (H, W)
        In the frame of the image, or of the window of it that the model sees.
    low_res_logits : ndarray of float32, shape (h, w)
        In the model's low-resolution frame, padding included: the next mask prompt.
    predicted_iou : float
    """

    mask: NDArray[np.bool_]
    low_res_logits: NDArray[np.float32]
    predicted_iou: float

    @cached_property
    def extent(self) -> Extent | None:
        """Tight extent of the mask in its own frame; None for an empty mask."""
        return mask_extent(self.mask)


MAX_COVERAGE = 0.5
"""Masks above this share of the image are chosen only if there is no other."""


def clicked_pixel(click: Click, shape: Sequence[int]) -> tuple[int, int]:
    """Return the pixel (row, col) under a click; the nearest one for a click outside the image."""
    row = int(np.clip(round(click.row), 0, shape[0] - 1))
    return row, int(np.clip(round(click.col), 0, shape[1] - 1))
