"""The row that turns a preview into a layer of the user's, and takes that back."""

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
    """Apply, with a menu of what to replace, and undo and redo of what we did to layers."""

    def __init__(self, panel: Panel, viewer: napari.Viewer) -> None:
        super().__init__()
        self._controller = panel.controller
        self._viewer = viewer
        self.apply = QPushButton("Apply to a Labels layer")
        self.apply.setToolTip(
            "Add the objects on show as a layer of your own. The menu beside it offers to replace "
            "those of a layer that is there. Both can be undone."
        )
        self.apply.clicked.connect(self._on_apply_clicked)
        self.more = QPushButton("…")
        self.more.setToolTip("Where the objects go.")
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
            act = self.menu.addAction(f"Replace the objects of {shorten(layer.name)}")
            act.triggered.connect(partial(_replace, weakref.ref(layer), self._controller))

    def _on_history_changed(self) -> None:
        history = self._controller.history
        for button, text, what, keys in (
            (self.undo, history.undo_text, "Undo", "Ctrl+Alt+Z"),
            (self.redo, history.redo_text, "Redo", "Ctrl+Alt+Shift+Z"),
        ):
            button.setEnabled(bool(text))
            button.setToolTip(f"{what}: {text} ({keys})" if text else f"Nothing to {what.lower()}")

    def _on_session_selection(self, *_: Any) -> None:
        session = self._controller.session
        some = session.selection is not None and len(session.selection) > 0
        for button in (self.apply, self.more):
            button.setEnabled(some or bool(session.pinned))


def _replace(layer: weakref.ref[Any], controller: ViewerController, *_: Any) -> None:
    target = layer()
    if target is not None:
        controller.apply(target)
