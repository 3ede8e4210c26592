"""The point of a plot that the mouse points at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

MAX_DISTANCE = 10.0  # px on the screen, from the centre of a point
TIE = 3.0  # px; of points nearly as close as the closest one, the most important is picked


class PointPicker:
    """Finds the nearest point by its coordinates.

    pyqtgraph's own items cannot be used for that: one that covers another, such as the ring around
    the chosen point, keeps the mouse from those below.

    Parameters
    ----------
    x, y : array-like, shape (n,)
        In units of the plot.
    important : sequence of sequences of int
        Positions of important points; those of later sequences are more important.
    """

    def __init__(self, x: Any = (), y: Any = (), important: Sequence[Any] = ()) -> None:
        self.x, self.y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
        self._importance = np.zeros(len(self.x), dtype=int)
        for importance, positions in enumerate(important, start=1):
            self._importance[np.asarray(positions, dtype=int)] = importance

    def nearest(self, view: Any, at: Any) -> int:
        """Return the position of the point at the mouse, -1 where there is none.

        Parameters
        ----------
        view : pyqtgraph.ViewBox
        at : QPointF
            Of the mouse, in the scene's frame.
        """
        if not len(self.x) or not view.sceneBoundingRect().contains(at):
            return -1
        mouse, (width, height) = view.mapSceneToView(at), view.viewPixelSize()
        distance = np.hypot((self.x - mouse.x()) / width, (self.y - mouse.y()) / height)
        if not distance.min() <= MAX_DISTANCE:  # NaN as well
            return -1
        close = np.flatnonzero(distance <= distance.min() + TIE)
        return int(close[np.lexsort((distance[close], -self._importance[close]))[0]])
