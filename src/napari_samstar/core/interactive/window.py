"""The part of an image that the model sees while one object is clicked.

An image that is one frame is seen as a whole. Of one that is cut into tiles the model sees a window
of a tile's size around the object: at the scale of the whole image the object would be too small.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from napari_samstar.core.errors import UserError

if TYPE_CHECKING:
    from napari_samstar.core.interactive.clicks import ClickPrompt
    from napari_samstar.core.interactive.placed_mask import Extent

MIN_SHARE = 1.25
"""A window is at least this many times as wide as the mask or box that it is chosen for."""

STEPS = 8
"""Windows start at multiples of their side divided by this, so that clicks near each other share a
window, and its embedding."""

EDGE_MARGIN = 4
"""A mask that comes this close to an inner edge of its window is cut by it, px of the frame."""


@dataclass(frozen=True)
class ClickWindow:
    """A window of an image.

    Attributes
    ----------
    extent : Extent
    image_shape : (int, int)
        Rows and columns of the image.
    """

    extent: Extent
    image_shape: tuple[int, int]

    @classmethod
    def whole(cls, image_shape: tuple[int, int]) -> ClickWindow:
        """Return the window that is the whole image."""
        return cls((0, 0, *image_shape), image_shape)

    @classmethod
    def around(cls, extent: Extent, side: int, image_shape: tuple[int, int]) -> ClickWindow:
        """Return a window with `extent` near its middle, within the image.

        Parameters
        ----------
        extent : Extent
            Of a click, a box or a mask.
        side : int
            Of the window, px; larger where `extent` would not fit with some room around it, smaller
            along an axis on which the image is smaller.
        image_shape : (int, int)
        """
        row0, col0, row1, col1 = extent
        side = max(side, ceil(MIN_SHARE * max(row1 - row0, col1 - col0)))
        top, bottom = _span(row0, row1, side, image_shape[0])
        left, right = _span(col0, col1, side, image_shape[1])
        return cls((top, left, bottom, right), image_shape)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the window."""
        row0, col0, row1, col1 = self.extent
        return row1 - row0, col1 - col0

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The window as (x0, y0, x1, y1), px of the image."""
        row0, col0, row1, col1 = self.extent
        return col0, row0, col1, row1

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole image."""
        return self.shape == self.image_shape

    def to_window(self, prompt: ClickPrompt) -> ClickPrompt:
        """Return a prompt in px of the image in px of the window.

        Raises
        ------
        UserError
            Where the newest click or the box lies outside of the window.
        """
        moved = prompt.moved(-self.extent[0], -self.extent[1])
        if not self.is_whole and not all(self._holds(*at) for at in _corners(moved)):
            raise UserError(
                "This is outside of the part of the image that SAM sees for the current object: "
                "accept or skip the object first."
            )
        return moved

    def to_image(self, prompt: ClickPrompt) -> ClickPrompt:
        """Return a prompt in px of the window in px of the image."""
        return prompt.moved(self.extent[0], self.extent[1])

    def cuts(self, extent: Extent, frame_side: int) -> bool:
        """Return whether a mask reaches an edge of the window that is not the image's.

        Parameters
        ----------
        extent : Extent
            Of the mask, px of the image.
        frame_side : int
            Side of the frame in which the model sees the window, px.
        """
        margin = max(1, round(EDGE_MARGIN * max(self.shape) / frame_side))
        row0, col0, row1, col1 = self.extent
        rows, cols = self.image_shape
        return (
            (row0 > 0 and extent[0] - row0 < margin)
            or (col0 > 0 and extent[1] - col0 < margin)
            or (row1 < rows and row1 - extent[2] < margin)
            or (col1 < cols and col1 - extent[3] < margin)
        )

    def _holds(self, row: float, col: float) -> bool:
        rows, cols = self.shape
        return -0.5 <= row <= rows - 0.5 and -0.5 <= col <= cols - 0.5


def prompt_extent(prompt: ClickPrompt) -> Extent:
    """Return the extent of a prompt's box, or of its first click."""
    if prompt.box is not None:
        box = prompt.box
        return int(box.row0), int(box.col0), ceil(box.row1) + 1, ceil(box.col1) + 1
    row, col = int(prompt.clicks[0].row), int(prompt.clicks[0].col)
    return row, col, row + 1, col + 1


# --- private ----------------------------------------------------------------------------------


def _span(low: int, high: int, side: int, length: int) -> tuple[int, int]:
    """Return start and end of a window along one axis of the image."""
    if side >= length:
        return 0, length
    step = max(1, side // STEPS)
    start = round((low + high - side) / 2 / step) * step
    start = min(max(start, 0), length - side)
    return start, start + side


def _corners(prompt: ClickPrompt) -> list[tuple[float, float]]:
    """Return the places that must be in the window: the newest click and the box."""
    places = [(c.row, c.col) for c in prompt.clicks[-1:]]
    if prompt.box is not None:
        places += [(prompt.box.row0, prompt.box.col0), (prompt.box.row1, prompt.box.col1)]
    return places
