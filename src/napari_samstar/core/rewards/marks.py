"""Marks of the user on an image: examples of good objects, and annotated objects or points."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, fields
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_samstar.core.errors import UserError
from napari_samstar.core.masks.shape import Shapes, shapes_in


@dataclass(frozen=True, eq=False)
class Marks:
    """Marks on one plane of H x W px; None where not given.

    Attributes
    ----------
    examples : ndarray of int, shape (H, W), optional
        Labels of good objects, 0 elsewhere: the masks should have shapes like these.
    annotations : ndarray of int, shape (H, W), optional
        Labels of true objects, 0 elsewhere: the masks should be these objects.
    points : ndarray of float, shape (n, 2), optional
        (row, col), px: one point in each of n objects.
    region : ndarray of bool, shape (H, W), optional
        Where all objects are annotated. Without it only masks that lie mostly on annotated objects
        are compared.
    elsewhere : tuple of (float, float, float, float)
        Shapes of examples on other images, see `AmgConfig.examples`.
    """

    examples: NDArray[np.integer[Any]] | None = None
    annotations: NDArray[np.integer[Any]] | None = None
    points: NDArray[np.float64] | None = None
    region: NDArray[np.bool_] | None = None
    elsewhere: Shapes = ()

    def replace(self, **changes: Any) -> Marks:
        """Return a copy with `changes` applied."""
        return dataclasses.replace(self, **changes)

    def window(self, rows: slice, cols: slice) -> Marks:
        """Return the marks that lie in a window of the plane; shapes of all examples stay known."""
        found: dict[str, Any] = {}
        for name in ("annotations", "region"):
            array = getattr(self, name)
            found[name] = None if array is None else array[rows, cols]
        if self.points is not None:
            first = np.array([rows.start, cols.start])
            inside = (self.points >= first) & (self.points < (rows.stop, cols.stop))
            found["points"] = self.points[inside.all(axis=1)] - first
        return Marks(**found, elsewhere=self.shapes)

    def check(self, shape: tuple[int, int]) -> None:
        """Raise UserError if a mark does not fit an image of `shape`, or the examples are empty."""
        for name in ("examples", "annotations", "region"):
            array = getattr(self, name)
            if array is not None and array.shape != shape:
                raise UserError(
                    f"The {name} have shape {array.shape} and the image {shape}: "
                    "choose a layer that was drawn on this image."
                )
        _ = self.shapes  # raises UserError for empty examples

    @cached_property
    def shapes(self) -> Shapes:
        """Shapes of all examples; UserError if `examples` has no object."""
        here = () if self.examples is None else shapes_in(self.examples)
        return (*here, *self.elsewhere)

    def digest(self) -> str:
        """Return the SHA-256 of all marks; an empty string if there are none."""
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        given["elsewhere"] = np.array(self.elsewhere) if self.elsewhere else None
        arrays = {name: array for name, array in given.items() if array is not None}
        if not arrays:
            return ""
        digest = sha256()
        for name, array in arrays.items():
            digest.update(f"{name} {array.shape} {array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


NO_MARKS = Marks()
