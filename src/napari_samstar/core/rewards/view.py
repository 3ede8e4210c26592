"""The view of one selection that rewards are computed from."""

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
"""IoU from which two masks are the same object; below, one object may partly hide the other."""

MOSTLY_INSIDE_SHARE = 0.7
"""Share of the smaller mask inside the larger one from which its area counts as covered twice. Two
discs of equal size then have an IoU of 0.54."""

INSIDE_SHARE = 0.9
"""Share of the smaller mask inside the larger one from which it counts as lying inside."""

CONTACT_SHARE = 0.2
"""Share of a mask's contour along a neighbour from which both may be parts of one object."""

EDGE_SHARE = 0.35
"""Share of a contact on an intensity edge from which the contact is the border of two objects."""

FOREGROUND_FITS = 0.3
"""Attainable coverage (Dice) below which the estimate of the foreground is not believed."""

ENOUGH_FOUND = 0.8
"""Share of the attainable objects from which rewards no longer depend on how many are found."""

CONTACT_ENDS = 6
"""Contact pixels that are left out: both ends lie on the edge around the pair."""


@dataclass(frozen=True)
class AttainableLevels:
    """The levels that some rewards of an image are relative to; see `Evaluator.attainable`.

    Each is the highest that SAM's default thresholds and the warm starts of a search reach.

    Attributes
    ----------
    coverage : float
        `View.coverage`; above 0.
    objects : float
        `View.objects`, the expected number of objects among the masks.
    like_examples : float
        `View.like_examples`, the expected number of objects like the examples.
    """

    coverage: float = 1.0
    objects: float = 0.0
    like_examples: float = 0.0


@dataclass(frozen=True, eq=False)
class View:
    """A selection of k masks; quantities that several rewards need are computed once.

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
        """The estimates of foreground, edges and blobs of the image."""
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
        """Centres (row, col) of the masks' boxes, px, shape (k, 2)."""
        boxes = self.features.store.boxes(self.ids.tolist())
        return np.asarray((boxes[:, :2] + boxes[:, 2:] - 1) / 2)

    @cached_property
    def coverage(self) -> float:
        """2 |U and F| / (|U| + B + |F|); see the reward `coverage`."""
        union = self.features.union(self.ids)
        covered = count(union & self.features.foreground)
        twice = float(self.areas[self.mostly_inside].sum())
        total = count(union) + twice + count(self.features.foreground)
        return 2 * covered / total if total else 0.0

    @cached_property
    def pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """See `Features.pairs`."""
        return self.features.pairs(self.ids)

    @cached_property
    def mostly_inside(self) -> NDArray[np.bool_]:
        """Whether each mask lies mostly inside a larger one, shape (k,)."""
        index, shared = self.pairs
        smaller = np.maximum(self.areas[index[:, 0]], 1)
        return self._first_of(index[shared[:, 0] >= MOSTLY_INSIDE_SHARE * smaller])

    @cached_property
    def duplicates(self) -> NDArray[np.bool_]:
        """Whether each mask is a duplicate of a larger one or lies inside it, shape (k,)."""
        index, shared = self.pairs
        small, large = self.areas[index[:, 0]], self.areas[index[:, 1]]
        both = shared[:, 0]
        iou = both / np.maximum(small + large - both, 1)
        same = (iou >= DUPLICATE_IOU) | (both >= INSIDE_SHARE * np.maximum(small, 1))
        return self._first_of(index[same])

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """Probability of each mask to be an object, shape (k,); 0 for a duplicate."""
        return np.where(self.duplicates, 0.0, self.selection.probability.astype(np.float64))

    @property
    def objects(self) -> float:
        """Expected number of objects among the masks: the sum of their probabilities."""
        return float(self.probabilities.sum())

    @cached_property
    def like_examples(self) -> float:
        """Expected number of objects like the examples among the masks; 0 without examples."""
        if not self.marks.shapes:
            return 0.0
        likeness = self.features.likeness(self.ids, self.marks.shapes)
        return float(self.probabilities @ np.where(self.fragments, 0.0, likeness))

    @cached_property
    def fragments(self) -> NDArray[np.bool_]:
        """Whether each mask is inside a larger one or adjoins it without an edge, shape (k,)."""
        index, shared = self.pairs
        contour = self.features.contour_length(self.ids)
        both, contact, on_edge = shared.T
        inside = both >= INSIDE_SHARE * np.maximum(self.areas[index[:, 0]], 1)
        # Part of one object: a long contact of which too little lies on an intensity edge.
        long = contact >= CONTACT_SHARE * np.maximum(contour[index[:, 0]], 1)
        ends = np.where(contact > CONTACT_ENDS, CONTACT_ENDS, 0)
        cut = long & (on_edge - ends < EDGE_SHARE * (contact - ends))
        return self._first_of(index[inside | cut])

    def paired(self, value: float) -> float:
        """Return the harmonic mean of `value` and c = min(1, P / (0.8 T)).

        P is the expected number of objects among the masks, T the attainable one. Not the coverage
        of the foreground: where the estimate of the foreground fails, all would fail with it.
        """
        enough = min(1.0, self.objects / max(ENOUGH_FOUND * self.attainable.objects, 1e-9))
        total = value + enough
        return 2 * value * enough / total if total > 0 else 0.0

    def _first_of(self, index: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether each mask is the first of any pair in `index` (p, 2), shape (k,)."""
        chosen = np.zeros(len(self.ids), dtype=bool)
        chosen[index[:, 0]] = True
        return chosen


def evaluate(view: View) -> dict[str, float]:
    """Return every reward that applies to `view`, by name."""
    return {name: r(view) for name, r in REWARDS.items() if r.applies(view)}
