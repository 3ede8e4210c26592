"""One selection as the rewards see it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_samstar.core.masks.store import count
from napari_samstar.core.rewards.marks import NO_MARKS, Marks
from napari_samstar.core.rewards.registry import REWARDS

if TYPE_CHECKING:
    from napari_samstar.core.amg.selection import Selection
    from napari_samstar.core.cues.image_cues import ImageCues
    from napari_samstar.core.rewards.expectations import Expectations
    from napari_samstar.core.rewards.features import Features

DUPLICATE_IOU = 0.6
"""Above this two masks show the same object; below, an occluded neighbour."""

BURIED_SHARE = 0.7
"""Share of the smaller mask inside the larger one from which its area is covered twice; of two
discs of one size that hide each other the IoU is then 0.54."""

NESTED_SHARE = 0.9
"""Share of the smaller mask inside the larger one from which it counts as lying inside."""

CONTACT_SHARE = 0.2
"""Share of a mask's contour along a neighbour from which the two may be one cut object."""

EDGE_SHARE = 0.35
"""Share of a contact on an intensity edge from which the contact is a real border."""

ENOUGH = 0.8
"""Share of the coverage within reach from which throwing masks away is no reason for a reward."""

CONTACT_ENDS = 6
"""Contact pixels, px, that lie on the edge of the pair's own outline and so say nothing."""


SURENESS = 10
"""Power to which SAM's rating of a mask is raised to tell how likely it is an object: 0.28 at SAM's
default threshold of 0.88. For F1 a mask is worth keeping where its chance exceeds half the F1 that
is reached (Lipton, Elkan and Naryanaswamy, ECML 2014): at that threshold, where F1 is 0.56."""


@dataclass(frozen=True)
class AttainableLevels:
    """What SAM can be expected to find on an image; see `tuning.Evaluator.attainable`.

    Attributes
    ----------
    coverage : float
        Above 0.
    objects : float
        Sum of the chances of all masks to be an object.
    alike : float
        Sum of their chances to be an object like the examples.
    """

    coverage: float = 1.0
    objects: float = 0.0
    alike: float = 0.0


@dataclass(frozen=True, eq=False)
class View:
    """One selection of k masks; shared quantities are computed once.

    Attributes
    ----------
    selection : Selection
    features : Features
    expectations : Expectations
        In px, with `small` and `large` given.
    marks : Marks
    attainable : AttainableLevels
    """

    selection: Selection
    features: Features
    expectations: Expectations
    marks: Marks = NO_MARKS
    attainable: AttainableLevels = AttainableLevels()

    @property
    def ids(self) -> NDArray[np.int64]:
        """Mask ids, shape (k,)."""
        return self.selection.ids

    @property
    def cues(self) -> ImageCues:
        """What is known of the image without SAM."""
        return self.features.cues

    @cached_property
    def areas(self) -> NDArray[np.float64]:
        """Areas, px, shape (k,)."""
        return self.features.area(self.ids)

    @cached_property
    def diameters(self) -> NDArray[np.float64]:
        """Equivalent diameters, px, shape (k,)."""
        return np.asarray(2 * np.sqrt(self.areas / np.pi))

    @cached_property
    def centres(self) -> NDArray[np.float64]:
        """Return the centres (row, col) of the masks' boxes, px, shape (k, 2)."""
        boxes = self.features.store.boxes(self.ids.tolist())
        return np.asarray((boxes[:, :2] + boxes[:, 2:] - 1) / 2)

    @cached_property
    def coverage(self) -> float:
        """2 |U and F| / (|U| + B + |F|); see the reward."""
        union = self.features.union(self.ids)
        covered = count(union & self.features.foreground)
        twice = float(self.areas[self.buried].sum())
        total = count(union) + twice + count(self.features.foreground)
        return 2 * covered / total if total else 0.0

    @cached_property
    def pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """See `Features.pairs`."""
        return self.features.pairs(self.ids)

    @cached_property
    def buried(self) -> NDArray[np.bool_]:
        """Masks that lie mostly inside a larger one, shape (k,)."""
        index, shared = self.pairs
        smaller = np.maximum(self.areas[index[:, 0]], 1)
        return self._first_of(index[shared[:, 0] >= BURIED_SHARE * smaller])

    @cached_property
    def repeats(self) -> NDArray[np.bool_]:
        """Masks that repeat a larger one or lie inside it, shape (k,)."""
        index, shared = self.pairs
        small, large = self.areas[index[:, 0]], self.areas[index[:, 1]]
        both = shared[:, 0]
        iou = both / np.maximum(small + large - both, 1)
        same = (iou >= DUPLICATE_IOU) | (both >= NESTED_SHARE * np.maximum(small, 1))
        return self._first_of(index[same])

    @cached_property
    def chances(self) -> NDArray[np.float64]:
        """q_i^10, q_i the predicted IoU in [0, 1], or 0 where i repeats another; shape (k,)."""
        rated = np.clip(self.selection.predicted_iou.astype(np.float64), 0, 1)
        return np.where(self.repeats, 0.0, rated**SURENESS)

    @property
    def objects(self) -> float:
        """How many objects are likely among the masks: the sum of their chances."""
        return float(self.chances.sum())

    @cached_property
    def alike(self) -> float:
        """How many objects like the examples are likely among the masks; 0 without examples."""
        if not self.marks.shapes:
            return 0.0
        likeness = self.features.likeness(self.ids, self.marks.shapes)
        return float(self.chances @ np.where(self.fragments, 0.0, likeness))

    @cached_property
    def fragments(self) -> NDArray[np.bool_]:
        """Masks that lie inside a larger one or are cut from it without an edge, shape (k,)."""
        index, shared = self.pairs
        contour = self.features.contour_length(self.ids)
        both, contact, on_edge = shared.T
        inside = both >= NESTED_SHARE * np.maximum(self.areas[index[:, 0]], 1)
        long = contact >= CONTACT_SHARE * np.maximum(contour[index[:, 0]], 1)
        ends = np.where(contact > CONTACT_ENDS, CONTACT_ENDS, 0)
        cut = long & (on_edge - ends < EDGE_SHARE * (contact - ends))
        return self._first_of(index[inside | cut])

    def paired(self, share: float) -> float:
        """Return the harmonic mean of `share` and c = min(1, coverage / (0.8 R)).

        R is the coverage within reach. Coverage itself cannot be 1 where the foreground estimate
        is poor: paired with it, every reward would measure little else.
        """
        enough = min(1.0, self.coverage / (ENOUGH * self.attainable.coverage))
        total = share + enough
        return 2 * share * enough / total if total > 0 else 0.0

    def _first_of(self, index: NDArray[np.int64]) -> NDArray[np.bool_]:
        chosen = np.zeros(len(self.ids), dtype=bool)
        chosen[index[:, 0]] = True
        return chosen


def evaluate(view: View) -> dict[str, float]:
    """Return every reward that applies to `view`, by name."""
    return {name: r(view) for name, r in REWARDS.items() if r.applies(view)}
