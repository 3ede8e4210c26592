"""What the user has marked on the image: good examples, and places whose truth is known."""

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
    """Marks on one plane of H x W px; None where there are none.

    Attributes
    ----------
    examples : ndarray of int, shape (H, W), optional
        Good objects, one id each, 0 elsewhere: masks should look like these.
    annotations : ndarray of int, shape (H, W), optional
        True objects, one id each: masks should be these.
    points : ndarray of float, shape (n, 2), optional
        (row, col), px: each lies in an object of its own.
    region : ndarray of bool, shape (H, W), optional
        Where `annotations` or `points` are complete. Without it only masks that lie mostly on
        annotated objects are judged.
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

    def check(self, shape: tuple[int, int]) -> None:
        """Raise UserError where a mark does not fit an image of `shape`, or examples are empty."""
        for name in ("examples", "annotations", "region"):
            array = getattr(self, name)
            if array is not None and array.shape != shape:
                raise UserError(
                    f"The {name} have shape {array.shape} and the image {shape}: "
                    "choose a layer that was drawn on this image."
                )
        _ = self.shapes  # an empty layer is refused now, not in the middle of a search

    @cached_property
    def shapes(self) -> Shapes:
        """The shapes of all examples; UserError where `examples` hold no object."""
        here = () if self.examples is None else shapes_in(self.examples)
        return (*here, *self.elsewhere)

    def digest(self) -> str:
        """Return a hash of all marks; empty where there are none."""
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        given["elsewhere"] = np.array(self.elsewhere) if self.elsewhere else None
        arrays = {name: array for name, array in given.items() if array is not None}
        if not arrays:
            return ""
        found = sha256()
        for name, array in arrays.items():
            found.update(f"{name} {array.shape} {array.dtype}".encode())
            found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()


NO_MARKS = Marks()
