"""The row that writes the preview into a layer of the user, with undo and redo."""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QHBoxLayout, QMenu, QPushButton, QWidget

from napari_samstar.widgets.forms.shared import shorten

if TYPE_CHECKING:
    import napari

    from napari_samstar.widgets.panel import Panel
    from napari_samstar.widgets.viewer.controller import ViewerController


class ApplyRow(QWidget):
    """Apply with a menu of target layers, and undo and redo of changes by the plugin."""

    def __init__(self, panel: Panel, viewer: napari.Viewer) -> None:
        super().__init__()
        self._controller = panel.controller
        self._viewer = viewer
        self.apply = QPushButton("Apply to a Labels layer")
        self.apply.setToolTip(
            "Add the previewed objects as a new layer. With the menu beside it you replace those "
            "of an existing layer. Both can be undone."
        )
        self.apply.clicked.connect(self._on_apply_clicked)
        self.more = QPushButton("…")
        self.more.setToolTip("Target layer of the objects.")
        self.menu = QMenu(self.more)
        self.menu.aboutToShow.connect(self._fill_menu)
        self.more.clicked.connect(self._on_more_clicked)
        self.undo, self.redo = QPushButton("↶"), QPushButton("↷")
        self.undo.clicked.connect(self._controller.history.undo)
        self.redo.clicked.connect(self._controller.history.redo)
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(4)
        line.addWidget(self.apply, 1)
        for button in (self.more, self.undo, self.redo):
            button.setFixedWidth(32)
            line.addWidget(button)
        panel.listen(self._controller.history.changed, self._on_history_changed)
        panel.listen(self._controller.session.events.selection, self._on_session_selection)
        self._on_history_changed()
        self._on_session_selection()

    def _on_apply_clicked(self) -> None:
        self._controller.apply()

    def _on_more_clicked(self) -> None:
        self.menu.popup(self.more.mapToGlobal(self.more.rect().bottomLeft()))

    def _fill_menu(self) -> None:
        self.menu.clear()
        self.menu.addAction("New Labels layer", self._on_apply_clicked)
        for layer in self._controller.layers.replaceable():
            action = self.menu.addAction(f"Replace the objects of {shorten(layer.name)}")
            action.triggered.connect(partial(_replace, weakref.ref(layer), self._controller))

    def _on_history_changed(self) -> None:
        history = self._controller.history
        for button, text, verb, keys in (
            (self.undo, history.undo_text, "Undo", "Ctrl+Alt+Z"),
            (self.redo, history.redo_text, "Redo", "Ctrl+Alt+Shift+Z"),
        ):
            button.setEnabled(bool(text))
            button.setToolTip(f"{verb}: {text} ({keys})" if text else f"Nothing to {verb.lower()}")

    def _on_session_selection(self, *_: Any) -> None:
        session = self._controller.session
        has_objects = session.selection is not None and len(session.selection) > 0
        for button in (self.apply, self.more):
            button.setEnabled(has_objects or bool(session.edits.pinned))


def _replace(layer: weakref.ref[Any], controller: ViewerController, *_: Any) -> None:
    target = layer()
    if target is not None:
        controller.apply(target)
