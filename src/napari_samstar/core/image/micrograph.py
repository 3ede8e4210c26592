"""One plane as SAM sees it."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.mapping import ImageMapping

Rgb8: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True, eq=False)
class Micrograph:
    """One plane as SAM sees it.

    Attributes
    ----------
    rgb : ndarray
        uint8 (H, W, 3), read-only. Grey images carry three equal channels.
    pixel_size : tuple of float, optional
        (row, col) size of a pixel in `unit`.
    unit : str
        "nm", "µm", ... or "px".
    name : str
        For titles and file names.
    notes : tuple of str
        What was decided or handled without asking, one sentence each.
    mapping : ImageMapping
        How it was taken out of its file or layer.
    """

    rgb: Rgb8
    pixel_size: tuple[float, float] | None = None
    unit: str = "px"
    name: str = "image"
    notes: tuple[str, ...] = ()
    mapping: ImageMapping = field(default_factory=ImageMapping)

    def __post_init__(self) -> None:
        rgb = np.asarray(self.rgb)
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
            raise UserError(
                f"SAM needs a uint8 image of shape (rows, columns, 3), not {rgb.dtype} "
                f"{rgb.shape}: use prepare()."
            )
        if rgb.flags.writeable or not rgb.flags.c_contiguous:
            rgb = rgb.copy(order="C")  # the caller may still write to theirs
            rgb.flags.writeable = False
        object.__setattr__(self, "rgb", rgb)
        if self.pixel_size is not None:
            object.__setattr__(self, "pixel_size", _checked_size(self.pixel_size))

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.rgb.shape[0], self.rgb.shape[1]

    @cached_property
    def key(self) -> str:
        """SHA-256 (hex) of the shape and the pixels; equal images have equal keys."""
        digest = hashlib.sha256(repr(self.rgb.shape).encode())
        digest.update(self.rgb.data)
        return digest.hexdigest()


def _checked_size(size: Any) -> tuple[float, float]:
    row, col = (float(v) for v in size)
    if not (math.isfinite(row) and math.isfinite(col) and row > 0 and col > 0):
        raise UserError(
            f"The pixel size must be two positive numbers (row, column), not {row:g} and {col:g}: "
            "correct the layer's scale."
        )
    return row, col
