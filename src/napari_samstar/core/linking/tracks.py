"""Measures objects in time while their frames come one after another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_samstar.core.errors import UserError
from napari_samstar.core.linking.overlap import Floats, PlaneObjects

if TYPE_CHECKING:
    from napari_samstar.core.linking.settings import LinkedPlane


@dataclass(eq=False)
class _Track:
    """An object so far; positions are (row, col) in the unit of the table, areas in px."""

    first: int
    begin: Floats
    end: Floats
    last: int
    n_frames: int = 0
    area: int = 0
    path: float = 0.0

    def add(self, frame: int, at: Floats, area: int) -> None:
        """Add the object in a frame."""
        self.path += float(np.hypot(*(at - self.end)))
        self.end, self.last = at, frame
        self.n_frames += 1
        self.area += area


class TrackMeasurer:
    """Measures the objects of a movie.

    Parameters
    ----------
    pixel_size : (float, float), optional
        (row, col), in `unit`. Without it lengths are in px.
    unit : str
        Part of the names of columns; "px" without a `pixel_size`.
    frame_time : float, optional
        Time from one frame to the next, in `time_unit`. Without it speeds are per frame.
    time_unit : str
        Part of the name of the speed's column.

    Raises
    ------
    UserError
        Where a size or time is not a positive number.
    """

    def __init__(
        self,
        pixel_size: tuple[float, float] | None = None,
        unit: str = "px",
        frame_time: float | None = None,
        time_unit: str = "s",
    ) -> None:
        self.pixel_size = pixel_size or (1.0, 1.0)
        self.unit = unit if pixel_size else "px"
        self.frame_time = 1.0 if frame_time is None else frame_time
        self.time_unit = "frame" if frame_time is None else time_unit
        if not all(np.isfinite(v) and v > 0 for v in (*self.pixel_size, self.frame_time)):
            raise UserError(
                f"A pixel cannot be {pixel_size} {unit} with {frame_time} {time_unit} between "
                "frames: give sizes and times above 0."
            )
        self._tracks: dict[int, _Track] = {}
        self._parents: dict[int, int] = {}

    def add(self, plane: LinkedPlane) -> None:
        """Add the next frame."""
        objects = PlaneObjects.of(plane.labels)
        for k, (rows, cols) in enumerate(objects.windows):
            window = objects.labels[rows, cols] == k + 1
            label = int(plane.labels[rows, cols][window][0])
            at = objects.centroids[k] * self.pixel_size
            track = self._tracks.setdefault(label, _Track(plane.index, at, at, plane.index))
            track.add(plane.index, at, int(objects.areas[k]))
        for event in plane.events:
            if event.kind == "split":
                new = set(event.children) - set(event.parents)
                self._parents.update(dict.fromkeys(new, event.parents[0]))

    def close(self) -> dict[str, NDArray[Any]]:
        """Return the table of all objects; call it after the last frame.

        Returns
        -------
        dict of str to ndarray
            One array per column, sorted by label: label, parent (0 for none), first and last
            frame, number of frames that have the object, mean area, displacement from first to
            last centroid, length of the path between centroids, and mean speed along the path,
            which is not a number for an object in one frame. Units are part of the columns' names.
        """
        labels = sorted(self._tracks)
        tracks = [self._tracks[i] for i in labels]
        first, last = (np.array([getattr(t, n) for t in tracks], int) for n in ("first", "last"))
        frames = np.array([t.n_frames for t in tracks], int)
        area = np.array([t.area for t in tracks], float) * self.pixel_size[0] * self.pixel_size[1]
        path = np.array([t.path for t in tracks], float)
        moved = np.array([np.hypot(*(t.end - t.begin)) for t in tracks], float)
        time = np.where(last > first, (last - first) * self.frame_time, np.nan)
        return {
            "label": np.array(labels, int),
            "parent": np.array([self._parents.get(i, 0) for i in labels], int),
            "first_frame": first,
            "last_frame": last,
            "n_frames": frames,
            f"mean_area_{self.unit}2": area / frames,
            f"displacement_{self.unit}": moved,
            f"path_{self.unit}": path,
            f"speed_{self.unit}_per_{self.time_unit}": path / time,
        }
