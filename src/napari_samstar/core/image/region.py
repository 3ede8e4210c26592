"""Where an image is segmented: inside outlines or a mask, and outside others."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Bool: TypeAlias = NDArray[np.bool_]

Polygon: TypeAlias = tuple[tuple[float, float], ...]
"""Corners (row, col), px of the plane; a pixel belongs to it where its centre does."""

LEAST_PIXELS = 64
"""A region of fewer pixels holds nothing that could be segmented."""


@dataclass(frozen=True)
class Region:
    """The part of a plane that is segmented.

    Attributes
    ----------
    inside : tuple of Polygon
        Only what lies in one of them counts; empty for the whole plane.
    outside : tuple of Polygon
        What is left out.
    runs : tuple of int
        A mask in place of `inside`: run lengths row by row, first those of pixels outside. Empty
        without.
    runs_shape : tuple of int
        Rows and columns of that mask.
    border_objects : bool
        Whether objects count that touch the border of the plane or of the region.
    """

    inside: tuple[Polygon, ...] = ()
    outside: tuple[Polygon, ...] = ()
    runs: tuple[int, ...] = ()
    runs_shape: tuple[int, int] = (0, 0)
    border_objects: bool = True

    def __bool__(self) -> bool:
        """Whether anything is left out."""
        return bool(self.inside or self.outside or self.runs or not self.border_objects)

    @property
    def is_whole(self) -> bool:
        """Whether every pixel of the plane lies in it."""
        return not (self.inside or self.outside or self.runs)

    def replace(self, **changes: Any) -> Region:
        """Return a copy with `changes` applied."""
        return dataclasses.replace(self, **changes)

    def without(self, polygon: Polygon) -> Region:
        """Return the region without a polygon."""
        return self.replace(outside=(*self.outside, polygon))

    def window(self, row0: int, col0: int, row1: int, col1: int) -> Bool:
        """Return which pixels of a window of the plane lie in the region, (row1 - row0, ...)."""
        shape = row1 - row0, col1 - col0
        if self.runs:
            found = self._mask[row0:row1, col0:col1].copy()
        elif self.inside:
            found = _filled(self.inside, row0, col0, shape)
        else:
            found = np.ones(shape, dtype=np.bool_)
        if self.outside:
            found &= ~_filled(self.outside, row0, col0, shape)
        return found

    def reaches(self, box: tuple[int, int, int, int]) -> bool:
        """Return whether any pixel of a box (x0, y0, x1, y1) lies in the region."""
        x0, y0, x1, y1 = box
        return self.is_whole or bool(self.window(y0, x0, y1, x1).any())

    def share(self, box: tuple[int, int, int, int]) -> float:
        """Return which share of a box (x0, y0, x1, y1) lies in the region."""
        x0, y0, x1, y1 = box
        return 1.0 if self.is_whole else float(self.window(y0, x0, y1, x1).mean())

    def cropped(self, box: tuple[int, int, int, int]) -> Region:
        """Return the region of a part of the plane, (x0, y0, x1, y1)."""
        x0, y0, x1, y1 = box
        whole = Region(border_objects=self.border_objects)
        inside = None if self.is_whole else self.window(y0, x0, y1, x1)
        if inside is None or inside.all():
            return whole
        return Region.of_mask(inside).replace(border_objects=self.border_objects)

    def mask(self, shape: tuple[int, int]) -> Bool:
        """Return which pixels of a plane of a shape lie in the region."""
        return self.window(0, 0, *shape)

    def fault(self, shape: tuple[int, int]) -> str:
        """Return what is wrong with the region for a plane of a shape; empty where all is well."""
        if self.runs and self.runs_shape != shape:
            return (
                f"The region is a mask of {self.runs_shape[0]} x {self.runs_shape[1]} pixels, the "
                f"plane has {shape[0]} x {shape[1]}: give a mask of this image."
            )
        if not self.is_whole and np.count_nonzero(self.mask(shape)) < LEAST_PIXELS:
            return "Nothing of the image lies in the region: move it, or take the region away."
        return ""

    @property
    def digest(self) -> str:
        """A hash of what the region is, hex."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON-ready values; only what differs from the whole plane."""
        values: dict[str, Any] = {}
        for name in ("inside", "outside"):
            if polygons := getattr(self, name):
                values[name] = [[list(corner) for corner in polygon] for polygon in polygons]
        if self.runs:
            values |= {"runs": list(self.runs), "runs_shape": list(self.runs_shape)}
        if not self.border_objects:
            values["border_objects"] = False
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Region:
        """Build from `to_dict` output; ValueError or TypeError where it is not that."""
        known = {f.name for f in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"unknown part of a region {unknown[0]!r}")
        polygons = {
            name: tuple(tuple((float(r), float(c)) for r, c in one) for one in values[name])
            for name in ("inside", "outside")
            if name in values
        }
        rows, cols = values.get("runs_shape", (0, 0))
        return cls(
            **polygons,
            runs=tuple(int(n) for n in values.get("runs", ())),
            runs_shape=(int(rows), int(cols)),
            border_objects=bool(values.get("border_objects", True)),
        )

    @classmethod
    def of_mask(cls, mask: Bool) -> Region:
        """Return the region of the true pixels of a mask, (H, W)."""
        flat = np.asarray(mask, dtype=np.bool_).ravel()
        changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
        edges = np.concatenate([[0], changes, [flat.size]])
        runs = np.diff(edges).tolist()
        rows, cols = mask.shape
        return cls(runs=(0, *runs) if flat[0] else tuple(runs), runs_shape=(rows, cols))

    @cached_property
    def _mask(self) -> Bool:
        values = np.arange(len(self.runs)) % 2 == 1
        return np.asarray(np.repeat(values, self.runs).reshape(self.runs_shape))


def rectangle(row0: float, col0: float, row1: float, col1: float) -> Polygon:
    """Return the rectangle of the pixels row0..row1 - 1, col0..col1 - 1."""
    return (
        (row0 - 0.5, col0 - 0.5),
        (row0 - 0.5, col1 - 0.5),
        (row1 - 0.5, col1 - 0.5),
        (row1 - 0.5, col0 - 0.5),
    )


def _filled(
    polygons: Sequence[Polygon], row0: int, col0: int, shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Return which pixels' centres lie in a polygon; a corner counts as the half pixel inside."""
    from skimage.draw import polygon2mask

    found = np.zeros(shape, dtype=np.bool_)
    for polygon in polygons:
        corners = np.array(polygon) - (row0, col0)
        if (box := _as_box(corners)) is not None:
            r0, c0, r1, c1 = box
            found[max(r0, 0) : max(r1, 0), max(c0, 0) : max(c1, 0)] = True
        elif cv2.contourArea(corners.astype(np.float32)) > 0:
            found |= polygon2mask(shape, corners)
    return found


def _as_box(corners: NDArray[np.float64]) -> tuple[int, int, int, int] | None:
    """Return (row0, col0, row1, col1), half open, of an upright rectangle; None for others."""
    rows, cols = np.unique(corners[:, 0]), np.unique(corners[:, 1])
    if len(corners) != 4 or len(rows) != 2 or len(cols) != 2:
        return None
    r0, c0 = np.ceil(rows[0]), np.ceil(cols[0])
    r1, c1 = np.ceil(rows[1]), np.ceil(cols[1])
    return int(r0), int(c0), int(r1), int(c1)
