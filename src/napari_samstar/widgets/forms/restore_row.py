"""A row of a panel that restores the labels of an earlier session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_samstar.widgets.forms.shared import combo, note, shorten

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_samstar.core.results.autosave import SavedSession
    from napari_samstar.widgets.panel import Panel


class RestoreRow(QWidget):
    """Offers the sessions that were saved for the open images; hidden if there are none."""

    def __init__(self, panel: Panel) -> None:
        super().__init__()
        self._autosave = panel.controller.autosave
        self._sessions: list[tuple[Image, SavedSession]] = []
        self.text = note()
        self.box = combo("Earlier sessions on this image, newest first.")
        self.button = QPushButton("Restore")
        self.button.setToolTip(
            "Add these labels as new layers. No other layer changes. Can be undone (Ctrl+Alt+Z)."
        )
        self.button.clicked.connect(self.restore)
        self.close_button = QPushButton("✕")
        self.close_button.setFixedWidth(32)
        self.close_button.setToolTip("Not now. Offered again when you open the image again.")
        self.close_button.clicked.connect(self.dismiss)
        line = QHBoxLayout()
        line.setSpacing(4)
        line.addWidget(self.box, 1)
        line.addWidget(self.button, 1)
        line.addWidget(self.close_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.text)
        column.addLayout(line)
        self.box.currentIndexChanged.connect(self._show_chosen)
        panel.listen(self._autosave.changed, self.refresh)
        self.refresh()

    def restore(self) -> None:
        """Restore the labels of the chosen session."""
        if self._sessions:
            self._autosave.restore(*self._sessions[self.box.currentIndex()])

    def dismiss(self) -> None:
        """Hide all sessions on offer until their image is opened again."""
        for image, session in self._sessions:
            self._autosave.dismiss(image, session)

    def refresh(self, *_: Any) -> None:
        """Show the sessions on offer."""
        self._sessions = self._autosave.saved_sessions()
        with QSignalBlocker(self.box):
            self.box.clear()
            self.box.addItems([_title(session) for _, session in self._sessions])
        self.box.setVisible(len(self._sessions) > 1)
        self.setVisible(bool(self._sessions))
        self._show_chosen()

    def _show_chosen(self, *_: Any) -> None:
        if not self._sessions:
            return
        image, session = self._sessions[max(0, self.box.currentIndex())]
        names = ", ".join(f"<i>{shorten(saved.name)}</i>" for saved in session.layers[:3])
        more = f" and {len(session.layers) - 3} more" if len(session.layers) > 3 else ""
        self.text.setText(
            f"Labels saved for <b>{shorten(image.name)}</b>: {names}{more} ({_title(session)})."
        )


def _title(session: SavedSession) -> str:
    when = f"{session.when:%d %b %Y, %H:%M}"
    return f"{session.objects} objects, {when}"
