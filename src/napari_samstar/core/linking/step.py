"""Links of one plane with the planes before it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_samstar.core.linking.motion import common_shift, expected, within_reach
from napari_samstar.core.linking.overlap import (
    Ids,
    Overlaps,
    PlaneObjects,
    Shift,
    one_to_one,
)

if TYPE_CHECKING:
    from napari_samstar.core.linking.overlap import Bool
    from napari_samstar.core.linking.settings import LinkSettings

ALIGNED = 0.8
"""No shift is looked for where objects have this IoU on average as they are."""

MIN_SUPPORT, MIN_AGREEMENT = 5, 0.4
"""A shift is used where there are this many objects and they have this IoU on average.

A few objects always agree at some shift, although one has ended and another one begins elsewhere.
"""

NONE = -1
"""An object that is not linked."""


@dataclass(eq=False)
class SeenPlane:
    """A plane that later planes are linked with.

    Attributes
    ----------
    objects : PlaneObjects
    ids : ndarray of int64, shape (n,)
        Ids of the objects in the stack.
    shift : Shift
        Where the plane lies in the newest one.
    """

    objects: PlaneObjects
    ids: Ids
    shift: Shift = (0, 0)


@dataclass(eq=False)
class PlaneLinks:
    """Where the n objects of a plane come from; filled step by step.

    Attributes
    ----------
    objects : PlaneObjects
        The plane that is linked.
    before : SeenPlane
        The plane before it.
    settings : LinkSettings
    ids : ndarray of int64, shape (n,)
        Ids in the stack; 0 for an object that begins.
    source : ndarray of int64, shape (n,)
        Position of the same object in the plane before, or `NONE`.
    regained : list of int
        Objects that were missing in the plane before.
    parts : list of int
        Objects that have the id of another object of the plane, because they are parts of it.
    families : dict of int to list of int
        Positions of parents in the plane before, and of their daughter cells.
    shift : Shift
        Motion of the whole plane since the plane before.
    overlaps : Overlaps
        With the objects of the plane before, after that motion.
    """

    objects: PlaneObjects
    before: SeenPlane
    settings: LinkSettings
    ids: Ids = field(init=False)
    source: Ids = field(init=False)
    regained: list[int] = field(default_factory=list)
    parts: list[int] = field(default_factory=list)
    families: dict[int, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ids = np.zeros(len(self.objects), np.int64)
        self.source = np.full(len(self.objects), NONE, np.int64)
        self.shift, self.overlaps = self._aligned()

    def match(self) -> None:
        """Link objects one to one with those of the plane before, for the greatest sum of IoUs."""
        pairs = self.overlaps.only(self.overlaps.iou > self.settings.min_iou)
        kept = one_to_one(pairs.before, pairs.after, pairs.iou)
        self._link(pairs.before[kept], pairs.after[kept])

    def match_missing(self, seen: SeenPlane, missing: Bool) -> None:
        """Link objects that are left with those of an earlier plane that are `missing` since."""
        if not missing.any() or self.ids.all():
            return
        pairs = Overlaps.of(seen.objects, self.objects, seen.shift)
        pairs = pairs.only(
            missing[pairs.before] & self._is_left()[pairs.after]
            & (pairs.iou > self.settings.min_iou)
        )  # fmt: skip
        kept = one_to_one(pairs.before, pairs.after, pairs.iou)
        self.ids[pairs.after[kept]] = seen.ids[pairs.before[kept]]
        self.regained += sorted(pairs.after[kept].tolist())

    def join_parts(self) -> None:
        """Give cross-sections that came apart the id of the object that they were part of."""
        for parent, part in self._inside(self.settings.contained):
            siblings = np.flatnonzero(self.ids == self.before.ids[parent])
            if len(siblings) and self._is_apart(part, siblings):
                self.ids[part] = self.before.ids[parent]
                self.parts.append(part)

    def divide(self) -> None:
        """Find daughter cells: objects that are left, inside an object of the plane before.

        The object that its parent is linked with is a daughter too where the others are of similar
        size; else it is the mother and stays linked.
        """
        families = defaultdict(list)
        for parent, child in self._inside(self.settings.daughter):
            families[parent].append(child)
        for parent, children in families.items():
            heirs = np.flatnonzero(self.source == parent).tolist()
            if not heirs:
                continue
            areas = self.objects.areas
            sizes = areas[heirs[0]], max(areas[children])
            if self.settings.divisions and min(sizes) >= self.settings.balance * max(sizes):
                self.ids[heirs], self.source[heirs] = 0, NONE
            self.families[parent] = sorted([*heirs, *children])

    def match_moved(self) -> None:
        """Link objects that are left with those of the plane before by distance."""
        free = np.flatnonzero(~self._is_continued())
        left = np.flatnonzero(self._is_left())
        if not self.settings.reach or not len(free) or not len(left):
            return
        objects, ids = self.before.objects, np.flatnonzero(self.source != NONE)
        moved = self.objects.centroids[ids] - objects.centroids[self.source[ids]]
        at = expected(objects, self.shift, self.source[ids], moved)[free]
        i, j, score = within_reach(
            at, (objects.areas[free], self.objects.areas[left]),
            self.objects.centroids[left], self.settings.reach,
        )  # fmt: skip
        kept = one_to_one(i, j, score)
        self._link(free[i[kept]], left[j[kept]])

    def merged(self) -> dict[int, list[int]]:
        """Return, for each object that took in others, the positions of those in the plane before.

        Objects that were parts of the same object are not named.
        """
        pairs = self.overlaps
        ended = (pairs.of_before >= self.settings.contained) & ~self._is_continued()[pairs.before]
        found: dict[int, list[int]] = {}
        for i, j in zip(pairs.before[ended].tolist(), pairs.after[ended].tolist(), strict=True):
            if self.source[j] != NONE and self.before.ids[i] not in self.ids:
                found.setdefault(j, []).append(i)
        return found

    def _aligned(self) -> tuple[Shift, Overlaps]:
        """Return the shift of the plane before, and the overlaps with it."""
        plane = self.before.objects
        still = Overlaps.of(plane, self.objects)
        n = min(len(plane), len(self.objects))
        agreement = self._agreement(still)
        searched = self.settings.follow_shift and n >= MIN_SUPPORT and agreement < ALIGNED * n
        shift = common_shift(plane, self.objects) if searched else (0, 0)
        if shift == (0, 0):
            return shift, still
        shifted = Overlaps.of(plane, self.objects, shift)
        is_better = self._agreement(shifted) > max(agreement, MIN_AGREEMENT * n)
        return (shift, shifted) if is_better else ((0, 0), still)

    def _agreement(self, overlaps: Overlaps) -> float:
        """Return the sum of the IoUs of matched objects."""
        pairs = overlaps.only(overlaps.iou > self.settings.min_iou)
        return float(pairs.iou[one_to_one(pairs.before, pairs.after, pairs.iou)].sum())

    def _link(self, before: Ids, after: Ids) -> None:
        self.source[after] = before
        self.ids[after] = self.before.ids[before]

    def _is_left(self) -> Bool:
        """Return which objects have no id yet and are nobody's daughters, bool (n,)."""
        left: Bool = self.ids == 0
        for children in self.families.values():
            left[children] = False
        return left

    def _is_continued(self) -> Bool:
        """Return which objects of the plane before go on or have daughters, bool."""
        continued = np.zeros(len(self.before.objects), bool)
        continued[self.source[self.source != NONE]] = True
        continued[list(self.families)] = True
        return continued

    def _inside(self, share: float) -> Iterator[tuple[int, int]]:
        """Yield (position in the plane before, object that is left) where it lies most inside."""
        pairs = self.overlaps
        chosen = pairs.only((pairs.of_after >= share) & self._is_left()[pairs.after])
        order = np.lexsort((chosen.before, -chosen.of_after, chosen.after))
        _, first = np.unique(chosen.after[order], return_index=True)
        best = order[first]
        yield from zip(chosen.before[best].tolist(), chosen.after[best].tolist(), strict=True)

    def _is_apart(self, part: int, siblings: Ids) -> bool:
        """Whether background wider than `clearance` lies between a part and other parts."""
        width = self.settings.clearance + 1
        rows, cols = self.objects.windows[part]
        around = tuple(slice(max(s.start - width, 0), s.stop + width) for s in (rows, cols))
        window = self.objects.labels[around]
        near = ndimage.binary_dilation(window == part + 1, np.ones((3, 3), bool), iterations=width)
        return not bool(np.isin(window[near], siblings + 1).any())
