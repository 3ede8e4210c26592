"""Good examples: objects of a result that the user points out, kept in a Labels layer."""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_samstar.widgets.forms.shared import link, note
from napari_samstar.widgets.viewer.history import Action, Edit
from napari_samstar.widgets.viewer.layer_writer import lies_at

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_samstar.widgets.panel import Panel
    from napari_samstar.widgets.viewer.history import History
    from napari_samstar.widgets.viewer.layers import Placement

EXAMPLES_KEY = "samstar_examples"
"""In the metadata of layers of good examples; the search is told about the latest of them."""


def holds_examples(layer: Layer) -> bool:
    """Return whether a layer was made here."""
    return EXAMPLES_KEY in layer.metadata


class Examples:
    """The layers of good examples of one viewer, one for each plane that has some."""

    def __init__(self, viewer: napari.Viewer, history: History) -> None:
        self._viewer = weakref.ref(viewer)
        self._history = history

    def layer(self, at: Placement, shape: tuple[int, ...]) -> Labels | None:
        """Return the layer of examples on a plane of `shape` (H, W); None where there is none."""
        viewer = self._viewer()
        layers = viewer.layers if viewer is not None else ()
        made = (x for x in layers if isinstance(x, Labels) and holds_examples(x))
        whole = (*(1 for _ in at.plane), *shape)
        return next((x for x in made if x.data.shape == whole and lies_at(x, at)), None)

    def count(self, at: Placement, shape: tuple[int, ...]) -> int:
        """Return how many examples a plane of `shape` (H, W) has."""
        layer = self.layer(at, shape)
        return 0 if layer is None else len(np.unique(layer.data[layer.data > 0]))

    def known(self, at: Placement, mask: NDArray[np.bool_]) -> int:
        """Return which example the object `mask` (H, W) is, 0 where it is none."""
        layer = self.layer(at, mask.shape)
        if layer is None:
            return 0
        found = np.unique(layer.data.reshape(mask.shape)[mask])
        return int(found[0]) if len(found) == 1 else 0

    def toggle(self, at: Placement, mask: NDArray[np.bool_]) -> None:
        """Make the object `mask` (H, W) an example, or take it back; can be undone."""
        layer, known = self.layer(at, mask.shape), self.known(at, mask)
        if layer is None:
            empty = at.expand(np.zeros(mask.shape, np.int32))
            about = {"name": "good examples", "metadata": {EXAMPLES_KEY: True}}
            layer = Labels(empty, **about, **at.transform)
        where = np.nonzero(at.expand(mask))
        edit = Edit.of(layer, where, 0 if known else int(layer.data.max()) + 1)
        text = "Take a good example back" if known else "Mark a good example"
        redo, undo = (partial(self._put, layer, change) for change in (edit.redo, edit.undo))
        self._history.do(Action(text, redo, undo))

    def _put(self, layer: Labels, change: Any) -> None:
        """Change the layer; it comes with its first example and goes with its last."""
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
                viewer.layers.selection.active = selected  # the user did not ask for this one


class ExampleRow(QWidget):
    """A button that makes the object on show a good example, and how many there are.

    Attributes
    ----------
    button : QPushButton
        Checked while the object on show is an example.
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
            "Mark this object as a good example, or take it back. With a few of them Tune looks "
            "for objects of their shape and size only."
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
        """Offer the object `mask` (H, W) of a plane; None where no object is on show."""
        self._shown = None if at is None or mask is None else (at, mask)
        self._refresh()

    def _on_clicked(self) -> None:
        if self._shown is not None:
            self._examples.toggle(*self._shown)
        self._refresh()

    def _refresh(self, *_: Any) -> None:
        self.button.setEnabled(self._shown is not None)
        known, n = False, 0
        if self._shown is not None:
            at, mask = self._shown
            known, n = self._examples.known(at, mask) > 0, self._examples.count(at, mask.shape)
        self.button.setChecked(known)
        marked = "1 example" if n == 1 else f"{n} examples"
        self.note.setText(f"{marked}: {link('Tune')} looks for objects like these." if n else "")
