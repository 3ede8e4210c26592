"""A stack layer that is filled plane by plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_samstar.api.pipeline import Applied
    from napari_samstar.widgets.viewer.layer_writer import LayerWriter


class StackFiller:
    """Writes planes into a stack layer as they come; the first one adds the layer."""

    def __init__(self, writer: LayerWriter, layer: Labels) -> None:
        self._writer = writer
        self._layer = layer
        self._highest = 0
        self._added = False

    def write(self, applied: Applied) -> None:
        """Write one plane as the pipeline yields it."""
        plane = applied.image.mapping.plane
        assert plane is not None
        self.write_plane(plane, applied.labels)

    def write_plane(self, plane: tuple[int, ...], labels: NDArray[np.int32]) -> None:
        """Write labels (H, W); ids run on through the stack, no object spans two planes."""
        shown = labels > 0
        at = self._layer.data[plane]
        at[shown] = labels[shown] + self._highest
        self._highest += int(labels.max(initial=0))
        if not self._added:  # once: the user may have removed it since
            self._added = True
            self._writer.add(self._layer, f"Apply to all planes of {self._layer.name}")
        self._layer.events.data(value=self._layer.data)
        self._layer.refresh()
