"""One plane as SAM sees it."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, TypeAlias

import numpy as np

from napari_samstar.core.errors import UserError
from napari_samstar.core.image.mapping import ImageMapping
from napari_samstar.core.image.region import Region
from napari_samstar.core.image.units import factor_to_shown

Rgb8: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]

ROWS_AT_ONCE = 256
"""Rows of a large image that are worked on at once."""


class LazyPixels(Protocol):
    """The pixels of a large plane, read where they are indexed; see `large.LazyRgb`."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, 3)."""

    def __getitem__(self, index: tuple[slice, slice]) -> Rgb8:
        """Return a window, uint8 of shape (h, w, 3)."""


@dataclass(frozen=True, eq=False)
class Micrograph:
    """One plane as SAM sees it.

    Attributes
    ----------
    rgb : ndarray or LazyPixels
        uint8 (H, W, 3), read-only. Grey images carry three equal channels. A large plane is read
        window by window: use `crop` and `bands`, which do not care.
    pixel_size : tuple of float, optional
        (row, col) size of a pixel in `unit`.
    unit : str
        "nm", "µm" or "px". Other lengths are converted to these.
    name : str
        For titles and file names.
    notes : tuple of str
        What was decided or handled without asking, one sentence each.
    mapping : ImageMapping
        How it was taken out of its file or layer.
    region : Region
        The part that is segmented: that of the mapping, without a data bar.
    """

    rgb: Rgb8 | LazyPixels
    pixel_size: tuple[float, float] | None = None
    unit: str = "px"
    name: str = "image"
    notes: tuple[str, ...] = ()
    mapping: ImageMapping = field(default_factory=ImageMapping)
    region: Region = field(default_factory=Region)

    def __post_init__(self) -> None:
        if self.pixel_size is not None:
            factor, unit = factor_to_shown(self.unit)
            row, col = _checked_size(self.pixel_size)
            object.__setattr__(self, "pixel_size", (row * factor, col * factor))
            object.__setattr__(self, "unit", unit)
        if self.is_large:
            return
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

    @property
    def is_large(self) -> bool:
        """Whether the pixels are read window by window."""
        return not isinstance(self.rgb, np.ndarray)

    @property
    def pixels(self) -> Rgb8:
        """All pixels at once; see `crop` and `bands` for large planes."""
        return self.rgb if isinstance(self.rgb, np.ndarray) else self.rgb[:, :]

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.rgb.shape[0], self.rgb.shape[1]

    def with_note(self, note: str) -> Micrograph:
        """Return the image with a further note, unless it is there; what is known of it is kept."""
        twin = copy.copy(self)
        notes = self.notes if note in self.notes else (*self.notes, note)
        object.__setattr__(twin, "notes", notes)
        return twin

    @cached_property
    def key(self) -> str:
        """SHA-256 (hex) of shape, pixels and region; equal images have equal keys."""
        digest = hashlib.sha256(repr((*self.shape, 3)).encode())
        if self.region:
            digest.update(self.region.digest.encode())
        for band in self.bands():
            digest.update(band.data)
        return digest.hexdigest()

    @cached_property
    def derived(self) -> dict[str, Any]:
        """What `shown` has found or made of the whole plane, by name, so that it is made once."""
        return {}

    def crop(self, box: tuple[int, int, int, int]) -> Rgb8:
        """Return the pixels of a box (x0, y0, x1, y1), contiguous."""
        x0, y0, x1, y1 = box
        return np.ascontiguousarray(self.rgb[y0:y1, x0:x1])

    def bands(self) -> Iterator[Rgb8]:
        """Yield the image in bands of a few hundred rows, from top to bottom."""
        rows, cols = self.shape
        for row in range(0, rows, ROWS_AT_ONCE):
            yield self.crop((0, row, cols, min(row + ROWS_AT_ONCE, rows)))

    def thumbnail(self, step: int) -> Rgb8:
        """Return every `step`-th pixel, along rows and columns."""
        if step == 1:
            return self.pixels
        parts, row = [], 0
        for band in self.bands():
            parts.append(band[-row % step :: step, ::step])
            row += len(band)
        return np.concatenate(parts)


def _checked_size(size: Any) -> tuple[float, float]:
    row, col = (float(v) for v in size)
    if not (math.isfinite(row) and math.isfinite(col) and row > 0 and col > 0):
        raise UserError(
            f"The pixel size must be two positive numbers (row, column), not {row:g} and {col:g}: "
            "correct the layer's scale."
        )
    return row, col
