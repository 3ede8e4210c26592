"""Which point of a plot is meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

REACH = 10.0  # px from the middle of a point
ALIKE = 3.0  # px; of points nearly as close to the mouse, the more important one is meant


class Spots:
    """Points of a plot, in its own units.

    Items that lie over each other, or a ring around one, would keep the mouse from the others; so
    the plot asks here instead.

    Parameters
    ----------
    x, y : array-like, shape (N,)
    important : sequence of sequences of int
        Positions of points that matter, each sequence more than the one before.
    """

    def __init__(self, x: Any = (), y: Any = (), important: Sequence[Any] = ()) -> None:
        self.x, self.y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
        self._rank = np.zeros(len(self.x), dtype=int)
        for rank, positions in enumerate(important, start=1):
            self._rank[np.asarray(positions, dtype=int)] = rank

    def nearest(self, view: Any, at: Any) -> int:
        """Return the point that is meant, -1 where none is near.

        Parameters
        ----------
        view : pyqtgraph.ViewBox
        at : QPointF
            In the frame of its scene.
        """
        if not len(self.x) or not view.sceneBoundingRect().contains(at):
            return -1
        place, (across, up) = view.mapSceneToView(at), view.viewPixelSize()
        away = np.hypot((self.x - place.x()) / across, (self.y - place.y()) / up)
        if not away.min() <= REACH:
            return -1
        close = np.flatnonzero(away <= away.min() + ALIKE)
        return int(close[np.lexsort((away[close], -self._rank[close]))[0]])
