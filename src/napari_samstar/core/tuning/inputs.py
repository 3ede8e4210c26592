"""What a search is given besides goal and study configuration. Does not import torch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_samstar.core.rewards.expectations import Expectations
from napari_samstar.core.rewards.marks import NO_MARKS, Marks

if TYPE_CHECKING:
    from napari_samstar.core.image.loaded import LoadedImage

Truth = NDArray[np.integer[Any]]
"""Ground truth: one id for each object, shape (H, W), 0 is background."""


@dataclass(frozen=True, eq=False)
class ExtraImage:
    """Another image or plane, to search on as well or to check the choice on.

    Attributes
    ----------
    image : LoadedImage
    held_out : bool
        Whether the search never sees it.
    marks : Marks
        Of this image.
    truth : ndarray of int, shape (H, W), optional
        Ground truth, for scoring only.
    layer : str
        The name of its napari layer, under which it can be found again.
    """

    image: LoadedImage
    held_out: bool = False
    marks: Marks = NO_MARKS
    truth: Truth | None = None
    layer: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return what a journal remembers, JSON-ready."""
        plane = list(self.image.mapping.plane or ())
        return {"layer": self.layer, "plane": plane, "held_out": self.held_out}


@dataclass(frozen=True, eq=False)
class SearchInputs:
    """What is known of the objects, and on which other images the settings shall hold.

    Attributes
    ----------
    expectations : Expectations
        The same for all images.
    marks : Marks
        Of the first image.
    extra_images : tuple of ExtraImage
        Those to search on as well, and those to check the choice on.
    minutes : float, optional
        The search ends after so long, and can be continued; None for no limit.
    truth : ndarray of int, shape (H, W), optional
        Ground truth of the first image, for scoring only.
    """

    expectations: Expectations = field(default_factory=Expectations)
    marks: Marks = NO_MARKS
    extra_images: tuple[ExtraImage, ...] = ()
    minutes: float | None = None
    truth: Truth | None = None

    def replace(self, **changes: Any) -> SearchInputs:
        """Return a copy with `changes` applied."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return what a journal remembers, JSON-ready: all but marks, truth and time limit."""
        return {
            "expectations": self.expectations.to_dict(),
            "extra_images": [extra.to_dict() for extra in self.extra_images],
        }

    def marks_of_all(self) -> tuple[Marks, ...]:
        """Return the marks of every image, the first one's first.

        Shapes of good examples on one image count on all of them.
        """
        own = (self.marks, *(extra.marks for extra in self.extra_images))
        every = tuple(shape for marks in own for shape in marks.shapes)
        return tuple(
            marks.replace(elsewhere=tuple(s for s in every if s not in marks.shapes))
            for marks in own
        )
