"""What the samples of a pixel mean: grey, colours, inks, transparency, channels.

A `SampleMap` turns stored values into those of the picture; it works on any window, so that lazy
arrays stay lazy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_samstar.core.image.readers.lazy import IndexedArray, full_index

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_samstar.core.image.planes import Array

Kind = Literal["first", "colours", "reversed", "invert", "negative", "cmyk", "ycbcr", "palette"]


@dataclass(frozen=True, eq=False)
class SampleMap:
    """From stored samples to those of the picture.

    Attributes
    ----------
    kind : str
        "first" keeps the first sample alone, without its axis, and "colours" the first three;
        "reversed" makes red, green, blue of blue, green, red.
        "invert" and "negative" make bright what is dark, of integers and of floats. "cmyk" and
        "ycbcr" give red, green and blue, "palette" too, from numbers of colours.
    palette : ndarray of uint8, shape (n, 3) or (n,), optional
        Colours by their number; grey values where all of them are grey.
    most : int, optional
        For "invert": the largest value that the stored bits can hold, where that is less than
        their type can.
    """

    kind: Kind
    palette: NDArray[np.uint8] | None = None
    most: int | None = None

    def shape(self, stored: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape that an array of a stored shape gets."""
        if self.kind == "first":
            return stored[:-1]
        if self.kind in ("colours", "reversed", "cmyk", "ycbcr"):
            return (*stored[:-1], 3)
        if self.palette is not None and self.palette.ndim == 2:
            return (*stored, 3)
        return stored

    def dtype(self, stored: np.dtype[Any]) -> np.dtype[Any]:
        """Return the type of values that are stored with another one."""
        return stored if self.palette is None else self.palette.dtype

    def __call__(self, values: Array) -> Array:
        """Return the samples of the picture; where there are several, they are the last axis."""
        if self.kind == "first":
            return values[..., 0]
        if self.kind == "colours":
            return values[..., :3]
        if self.kind == "reversed":
            return values[..., ::-1]
        if self.kind == "invert":
            return ~values if self.most is None else values.dtype.type(self.most) - values
        if self.kind == "negative":
            return -values
        if self.kind == "cmyk":
            return _from_inks(values)
        if self.kind == "ycbcr":
            return _from_ycbcr(values)
        assert self.palette is not None
        return self.palette[values]


class MappedArray(IndexedArray):
    """An array of which the samples are mapped where it is indexed, as `LazyArray` is."""

    def __init__(self, stored: Any, samples: SampleMap) -> None:
        self.stored, self.samples = stored, samples
        self.shape = samples.shape(tuple(stored.shape))
        self.dtype = samples.dtype(np.dtype(stored.dtype))

    def __getitem__(self, index: Any) -> Array:
        wanted = full_index(index, self.shape)
        spatial = min(self.ndim, len(self.stored.shape))
        if self.ndim == len(self.stored.shape) == len(wanted) and self.shape[-1] == 3:
            spatial -= self.samples.kind in ("colours", "reversed", "cmyk", "ycbcr")
        values = self.samples(np.asarray(self.stored[(*wanted[:spatial], Ellipsis)]))
        return values[(Ellipsis, *wanted[spatial:])] if wanted[spatial:] else values


def mapped(array: Any, samples: SampleMap) -> Any:
    """Return an array with mapped samples, NumPy from NumPy."""
    return samples(array) if isinstance(array, np.ndarray) else MappedArray(array, samples)


def _from_inks(values: Array) -> Array:
    """Return RGB of cyan, magenta, yellow and black, unsigned integers (..., 4) of any size."""
    most = int(np.iinfo(values.dtype).max)
    light = most - values.astype(np.float64)
    mixed = np.rint(light[..., :3] * light[..., 3:] / most)
    return np.asarray(mixed.astype(values.dtype))


def _from_ycbcr(values: Array) -> Array:
    """Return RGB of Y, Cb and Cr, uint8 (..., 3), by Pillow: ITU-R BT.601, full range."""
    from PIL import Image

    flat = np.ascontiguousarray(values[..., :3]).reshape(-1, 1, 3)
    picture = Image.frombytes("YCbCr", (1, len(flat)), flat.tobytes()).convert("RGB")
    return np.asarray(picture).reshape((*values.shape[:-1], 3))
