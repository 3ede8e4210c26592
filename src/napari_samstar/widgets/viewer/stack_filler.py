"""A stack layer that is filled plane by plane."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_samstar.widgets.viewer.layer_writer import LayerWriter
    from napari_samstar.widgets.viewer.work import StackPlane

LINK_KEY = "samstar_link"
"""Key of how objects are linked, "depth" or "time", in the metadata of a Labels layer."""

EVENTS_KEY = "samstar_link_events"
"""Key of the splits, merges and gaps of its objects."""


class StackFiller:
    """Writes planes into a stack layer as they come; the first one adds the layer.

    Attributes
    ----------
    layer : Labels
    planes : tuple of tuple of int
        All planes that are to be written.
    done : set of tuple of int
        Those that are written.
    """

    def __init__(
        self, writer: LayerWriter, layer: Labels, planes: Sequence[tuple[int, ...]]
    ) -> None:
        self._writer = writer
        self.layer = self._layer = layer
        self.planes = tuple(planes)
        self.done: set[tuple[int, ...]] = set()
        self._added = False

    @property
    def waiting(self) -> tuple[tuple[int, ...], ...]:
        """The planes that are not written yet."""
        return tuple(plane for plane in self.planes if plane not in self.done)

    def write(self, done: StackPlane) -> None:
        """Write one plane, and remember the events of its ids."""
        self.write_plane(done.plane, done.labels)
        self.done.add(tuple(done.plane))
        if done.events:
            known = self._layer.metadata.get(EVENTS_KEY, [])
            new = [dataclasses.asdict(event) for event in done.events]
            self._layer.metadata = self._layer.metadata | {EVENTS_KEY: known + new}

    def write_plane(self, plane: tuple[int, ...], labels: NDArray[np.int32]) -> None:
        """Write labels (H, W) with ids of the whole stack."""
        shown = labels > 0
        self._layer.data[plane][shown] = labels[shown]
        if not self._added:  # once: the user may have removed it since
            self._added = True
            self._writer.add(self._layer, f"Apply to all planes of {self._layer.name}")
        self._layer.events.data(value=self._layer.data)
        self._layer.refresh()
