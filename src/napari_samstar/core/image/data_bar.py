"""The strip with scale bar and text that electron microscopes put below or above an image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

LEAST_ROWS, MOST_ROWS, MOST_SHARE = 12, 1024, 0.25
"""A strip is at least and at most so many px high, and at most this share of the image."""

FLAT_SHARE = 0.4
"""So much of each row of a strip is background of one grey value, its frame apart."""

ABOVE_SHARE = 0.15
"""No more of the rows beside it has that grey value."""

HARD_EDGE = 0.5
"""The share drops by so much within a few rows, where the strip ends."""

EDGE_ROWS = 3

FRAME_ROWS = 4
"""So many rows in a row may be a frame or the line that divides two lines of text."""

LEAST_LETTERS = 6

SPREADS = (0, 8)
"""Grey levels by which the background of a bar may vary: none, or what lossy compression does."""


@dataclass(frozen=True)
class DataBar:
    """Rows of an image that are a data bar, [row0, row1).

    Attributes
    ----------
    row0, row1 : int
    stated : bool
        Whether the file says so; else it was found by its looks.
    """

    row0: int
    row1: int
    stated: bool = False

    @property
    def note(self) -> str:
        """One sentence for the user."""
        where = "at the top" if self.row0 == 0 else "at the bottom"
        return f"A data bar of {self.row1 - self.row0} rows {where} was left out."


def stated_bar(rows: int, bar_rows: int | None) -> DataBar | None:
    """Return the bar that a file says is at the bottom of an image of so many rows."""
    if not bar_rows or not 0 < bar_rows <= rows * MOST_SHARE * 2:
        return None
    return DataBar(rows - bar_rows, rows, stated=True)


def find_data_bar(shape: tuple[int, int], read: Callable[[slice], Array]) -> DataBar | None:
    """Return the data bar of an image by its looks; None where there is none.

    It is a strip over the whole width, at the bottom or the top: most of each row has one grey
    value, which the rows beside it have not, and on it there are letters.

    Parameters
    ----------
    shape : (rows, columns)
    read : callable
        Returns some rows of the image, (h, W) or (h, W, 3), of any numeric type.
    """
    rows = shape[0]
    if min(shape) < 4 * LEAST_ROWS:
        return None
    most = min(max(LEAST_ROWS + 1, int(rows * MOST_SHARE)), MOST_ROWS)
    for at_top in (False, True):

        def first(n: int, at_top: bool = at_top) -> Array:
            """Return n rows from the border on."""
            return read(slice(0, n)) if at_top else read(slice(rows - n, rows))[::-1]

        # Few rows tell most images without a bar; large ones are then not read any further.
        few = first(LEAST_ROWS + FRAME_ROWS)
        if few.dtype.kind == "b" or _flat_share(few[FRAME_ROWS:]) < FLAT_SHARE:
            continue
        height = _with_frame(_grey(first(2 * most)), most)
        if height:
            return DataBar(0, height) if at_top else DataBar(rows - height, rows)
    return None


def _flat_share(rows: Array) -> float:
    """Return the share of pixels that have the most frequent grey value, or nearly."""
    grey = _grey(rows)
    value = int(np.bincount(grey.ravel(), minlength=256).argmax())
    return float((np.abs(grey.astype(np.int16) - value) <= SPREADS[1]).mean())


def _grey(strip: Array) -> NDArray[np.uint8]:
    """Return a strip as 8-bit grey, between its smallest and its largest value."""
    values = strip.astype(np.float32)
    values = values.mean(axis=2) if values.ndim == 3 else values
    values = np.nan_to_num(values, posinf=0, neginf=0)
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) * (255 / (high - low if high > low else 1))
    grey: NDArray[np.uint8] = np.rint(scaled).astype(np.uint8)
    return grey


def _with_frame(grey: NDArray[np.uint8], most: int) -> int:
    """Return the height of a bar with the line that divides it from the image, 0 for none."""
    height = _height(grey, most)
    for row in grey[height : height + FRAME_ROWS] if height else ():
        low, high = np.percentile(row, [2, 98])
        is_ink = low > 215 or high < 40
        if not is_ink or high - low > 2 * SPREADS[1]:
            break
        height += 1
    return height


def _height(grey: NDArray[np.uint8], most: int) -> int:
    """Return the height of a bar at the first rows of a strip, 0 for none."""
    first = grey[FRAME_ROWS : LEAST_ROWS + FRAME_ROWS]
    value = int(np.bincount(first.ravel(), minlength=256).argmax())
    if value not in range(40) and value not in range(216, 256):
        return 0  # bars are black or white
    distance = np.abs(grey.astype(np.int16) - value)
    return max(_height_within(distance <= spread, most) for spread in SPREADS)


def _height_within(flat: NDArray[np.bool_], most: int) -> int:
    """Return the height of a bar at the first rows, by the pixels that have its grey value."""
    share = flat.mean(axis=1)
    height = _run(share >= FLAT_SHARE, most)
    if not LEAST_ROWS <= height <= most:
        return 0
    beside = share[height + 1 : height + 1 + 2 * LEAST_ROWS]
    if len(beside) < LEAST_ROWS or beside.mean() > ABOVE_SHARE or beside.max() > FLAT_SHARE:
        return 0
    ends = share[height - EDGE_ROWS : height].max() - share[height + 1 : height + 4].max()
    if ends < HARD_EDGE:
        return 0
    return height if _n_letters(~flat[:height]) >= LEAST_LETTERS else 0


def _run(flat: NDArray[np.bool_], most: int) -> int:
    """Return how many rows from the first are flat, frames and dividing lines included."""
    height, other = 0, 0
    for k, one in enumerate(flat[: most + FRAME_ROWS + 1]):
        other = 0 if one else other + 1
        if other > FRAME_ROWS:
            break
        if one:
            height = k + 1
    return height


def _n_letters(ink: NDArray[np.bool_]) -> int:
    """Return how many connected parts of a strip are as large as letters."""
    rows = ink.shape[0]
    _, _, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    heights, widths = stats[1:, cv2.CC_STAT_HEIGHT], stats[1:, cv2.CC_STAT_WIDTH]
    letters = (heights >= 4) & (heights <= 0.9 * rows) & (widths <= 3 * heights)
    return int(letters.sum())
