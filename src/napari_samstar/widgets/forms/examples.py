"""Good examples: objects of a result that the user marks, kept in a Labels layer."""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_samstar.widgets.forms.shared import link, note
from napari_samstar.widgets.viewer.history import Action, Edit

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_samstar.widgets.panel import Panel
    from napari_samstar.widgets.viewer.history import History
    from napari_samstar.widgets.viewer.layers import Placement

EXAMPLES_KEY = "samstar_examples"
"""Key in the metadata of layers of good examples; the search uses the newest such layer."""


def holds_examples(layer: Layer) -> bool:
    """Return whether a layer is one of good examples."""
    return EXAMPLES_KEY in layer.metadata


class Examples:
    """The layers of good examples of one viewer, one per plane that has examples."""

    def __init__(self, viewer: napari.Viewer, history: History) -> None:
        self._viewer = weakref.ref(viewer)
        self._history = history

    def layer(self, at: Placement, shape: tuple[int, ...]) -> Labels | None:
        """Return the layer of examples on a plane of `shape` (H, W); None if it has none."""
        viewer = self._viewer()
        layers = viewer.layers if viewer is not None else ()
        candidates = (x for x in layers if isinstance(x, Labels) and holds_examples(x))
        full_shape = (*(1 for _ in at.plane), *shape)
        return next((x for x in candidates if x.data.shape == full_shape and at.matches(x)), None)

    def count(self, at: Placement, shape: tuple[int, ...]) -> int:
        """Return how many examples a plane of `shape` (H, W) has."""
        layer = self.layer(at, shape)
        return 0 if layer is None else len(np.unique(layer.data[layer.data > 0]))

    def example_id(self, at: Placement, mask: NDArray[np.bool_]) -> int:
        """Return the id of the example that is the object `mask` (H, W), 0 if it is none."""
        layer = self.layer(at, mask.shape)
        if layer is None:
            return 0
        found = np.unique(layer.data.reshape(mask.shape)[mask])
        return int(found[0]) if len(found) == 1 else 0

    def toggle(self, at: Placement, mask: NDArray[np.bool_]) -> None:
        """Mark the object `mask` (H, W) as an example, or unmark it; can be undone."""
        layer, marked = self.layer(at, mask.shape), self.example_id(at, mask) > 0
        if layer is None:
            empty = at.expand(np.zeros(mask.shape, np.int32))
            metadata = {EXAMPLES_KEY: True}
            layer = Labels(empty, name="good examples", metadata=metadata, **at.transform)
        where = np.nonzero(at.expand(mask))
        edit = Edit.of(layer, where, 0 if marked else int(layer.data.max()) + 1)
        text = "Unmark a good example" if marked else "Mark a good example"
        redo, undo = (partial(self._apply, layer, change) for change in (edit.redo, edit.undo))
        self._history.do(Action(text, redo, undo))

    def _apply(self, layer: Labels, change: Callable[[], None]) -> None:
        """Change the layer; add it with its first example and remove it with its last."""
        viewer = self._viewer()
        if viewer is None:
            return
        change()
        if not layer.data.any():
            if layer in viewer.layers:
                viewer.layers.remove(layer)
        elif layer not in viewer.layers:
            selected = viewer.layers.selection.active
            viewer.add_layer(layer)
            if selected is not None:
                viewer.layers.selection.active = selected  # adding a layer selects it


class ExampleRow(QWidget):
    """A button that marks the current object as a good example, and the number of examples.

    Attributes
    ----------
    button : QPushButton
        Checked if the current object is an example.
    """

    def __init__(self, panel: Panel) -> None:
        super().__init__()
        viewer = panel.viewer()
        assert viewer is not None
        self._examples = Examples(viewer, panel.controller.history)
        self._shown: tuple[Placement, NDArray[np.bool_]] | None = None
        self.button = QPushButton("Good example")
        self.button.setCheckable(True)
        self.button.setToolTip(
            "Mark or unmark this object as a good example. With a few of them Tune finds only "
            "objects of their shape and size."
        )
        self.button.clicked.connect(self._on_clicked)
        self.note = note()
        panel.connect_links(self.note)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.button)
        row.addWidget(self.note, 1)
        panel.listen(panel.controller.history.changed, self._refresh)
        panel.listen(viewer.layers.events.removed, self._refresh)
        self._refresh()

    def show_object(self, at: Placement | None, mask: NDArray[np.bool_] | None = None) -> None:
        """Set the current object, `mask` (H, W) of a plane; None if there is none."""
        self._shown = None if at is None or mask is None else (at, mask)
        self._refresh()

    def _on_clicked(self) -> None:
        if self._shown is not None:
            self._examples.toggle(*self._shown)
        self._refresh()

    def _refresh(self, *_: Any) -> None:
        self.button.setEnabled(self._shown is not None)
        marked, n = False, 0
        if self._shown is not None:
            at, mask = self._shown
            marked = self._examples.example_id(at, mask) > 0
            n = self._examples.count(at, mask.shape)
        self.button.setChecked(marked)
        count = "1 example" if n == 1 else f"{n} examples"
        self.note.setText(f"{count}: {link('Tune')} finds objects like these." if n else "")
