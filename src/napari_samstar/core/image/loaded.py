"""An image as a file or a layer holds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class LoadedImage:
    """What an image file holds, as stored; `images.prepare` makes of it what SAM sees.

    Attributes
    ----------
    array : array
        (..., H, W), or (..., H, W, 3 or 4) where `rgb`. NumPy, or lazy where the file is large:
        indexing reads.
    rgb : bool
        Whether the last axis is colour.
    axes : str
        One letter per axis, as in TIFF: T time, Z depth, C channel, Y row, X column, S colour.
    pixel_size : tuple of float, optional
        (row, col) in `unit`.
    unit : str
        "nm", "µm" or, where the file does not say, "px".
    name : str
        File name without its ending.
    notes : tuple of str
        What was decided while reading, one sentence each.
    """

    array: Any
    rgb: bool
    axes: str
    pixel_size: tuple[float, float] | None
    unit: str
    name: str
    notes: tuple[str, ...] = ()
