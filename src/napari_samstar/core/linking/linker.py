"""Links the objects of planes that come one after another; only the last planes are kept.

For each plane, in this order:

1. Objects are matched one to one with those of the plane before, for the greatest sum of IoUs. The
   plane before is moved as a whole where objects then agree better: a stage drifts, sections are
   not aligned.
2. Objects that are left are matched in the same way with those that went missing earlier.
3. Objects that are left inside an object of the plane before: in depth its parts, with its id; in
   time its daughter cells.
4. In time, objects that are left are matched by distance.
5. What is left begins.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from napari_samstar.core.errors import UserError
from napari_samstar.core.linking.overlap import Ids, PlaneObjects
from napari_samstar.core.linking.settings import LinkedPlane, LinkEvent, LinkSettings
from napari_samstar.core.linking.step import PlaneLinks, SeenPlane


class Linker:
    """Gives the objects of a stack one id through its planes, plane by plane.

    Ids begin at 1, in the order in which objects appear. The result does not depend on the ids in
    the planes.

    Parameters
    ----------
    settings : LinkSettings, optional

    Examples
    --------
    >>> linker = Linker(LinkSettings(mode="time"))
    >>> linker.add(np.array([[0, 7, 7]])).labels.tolist()
    [[0, 1, 1]]
    >>> linker.add(np.array([[0, 4, 0]])).labels.tolist()
    [[0, 1, 0]]
    """

    def __init__(self, settings: LinkSettings | None = None) -> None:
        self.settings = settings or LinkSettings()
        self._past: deque[SeenPlane] = deque(maxlen=self.settings.gap + 1)  # newest first
        self._open: dict[int, int] = {}  # id: the plane in which it was seen last
        self._index = 0
        self._n_ids = 0

    def add(self, labels: NDArray[np.integer]) -> LinkedPlane:
        """Link the next plane.

        Parameters
        ----------
        labels : ndarray of int, shape (H, W)
            0 is background; the ids are of this plane alone.

        Raises
        ------
        UserError
            Where `labels` is not a label image, or has another shape than the planes before.
        """
        objects = PlaneObjects.of(labels)
        if not self._past:
            ids = self._numbered(np.zeros(len(objects), np.int64))
            events: list[LinkEvent] = []
        else:
            self._check_shape(objects)
            links = self._linked(objects)
            events = self._gaps(links)
            ids = self._numbered(links.ids)
            events += self._changes(links, ids)
        return self._finish(objects, ids, events)

    def close(self) -> tuple[int, ...]:
        """Return the ids that have not ended yet, in increasing order; call it after all planes."""
        ended = tuple(sorted(self._open))
        self._open.clear()
        return ended

    def _linked(self, objects: PlaneObjects) -> PlaneLinks:
        """Return where the objects of a plane come from."""
        links = PlaneLinks(objects, self._past[0], self.settings)
        for seen in self._past:
            seen.shift = seen.shift[0] + links.shift[0], seen.shift[1] + links.shift[1]
        links.match()
        for back, seen in enumerate(self._past, 1):
            if back > 1:
                links.match_missing(seen, self._missing_since(self._index - back, seen.ids))
        if self.settings.mode == "depth":
            links.join_parts()
        else:
            links.divide()
            links.match_moved()
        return links

    def _missing_since(self, plane: int, ids: Ids) -> NDArray[np.bool_]:
        """Return which of `ids`, shape (n,), were seen in `plane` and not later, bool (n,)."""
        return np.array([self._open.get(i) == plane for i in ids.tolist()], dtype=bool)

    def _numbered(self, ids: Ids) -> Ids:
        """Return ids with new ones in the place of 0."""
        new = ids == 0
        numbered = ids.copy()
        numbered[new] = self._n_ids + np.arange(1, new.sum() + 1)
        self._n_ids += int(new.sum())
        return numbered

    def _gaps(self, links: PlaneLinks) -> list[LinkEvent]:
        """Return an event for each object that is found again."""
        ids = [int(links.ids[k]) for k in links.regained]
        return [LinkEvent("gap", self._index, (i,), (i,)) for i in ids]

    def _changes(self, links: PlaneLinks, ids: Ids) -> list[LinkEvent]:
        """Return parts, splits and merges; forget the ids of cells that divided."""
        before = links.before.ids
        parts = [(int(ids[k]),) for k in links.parts]
        events = [LinkEvent("part", self._index, part, part) for part in parts]
        for parent, children in links.families.items():
            found = tuple(int(i) for i in ids[children])
            events.append(LinkEvent("split", self._index, (int(before[parent]),), found))
        for k, others in links.merged().items():
            parents = int(before[links.source[k]]), *(int(i) for i in before[others])
            events.append(LinkEvent("merge", self._index, parents, (int(ids[k]),)))
        return events

    def _finish(self, objects: PlaneObjects, ids: Ids, events: list[LinkEvent]) -> LinkedPlane:
        """Remember the plane, and return it with its ids."""
        self._open.update(dict.fromkeys(ids.tolist(), self._index))
        divided = {e.parents[0] for e in events if e.kind == "split"} - set(ids.tolist())
        ended = sorted(
            i for i, last in self._open.items()
            if i in divided or last < self._index - self.settings.gap
        )  # fmt: skip
        for i in ended:
            del self._open[i]
        painted = np.append(0, ids).astype(np.int32)[objects.labels]
        plane = LinkedPlane(self._index, painted, tuple(events), tuple(ended))
        self._past.appendleft(SeenPlane(objects, ids))
        self._index += 1
        return plane

    def _check_shape(self, objects: PlaneObjects) -> None:
        shape, before = objects.labels.shape, self._past[0].objects.labels.shape
        if shape != before:
            raise UserError(
                f"Plane {self._index} of the stack is {shape[0]} x {shape[1]} px and the planes "
                f"before are {before[0]} x {before[1]} px: link planes of one size."
            )
