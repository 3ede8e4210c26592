"""One line in a panel: go on with the labels of an earlier session."""

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
    """Offers what was saved of the open images; hidden where there is nothing."""

    def __init__(self, panel: Panel) -> None:
        super().__init__()
        self._keeper = panel.controller.autosave
        self._offers: list[tuple[Image, SavedSession]] = []
        self.text = note()
        self.box = combo("Earlier sessions on this image, the latest first.")
        self.button = QPushButton("Go on")
        self.button.setToolTip(
            "Bring these labels back as layers of their own. Nothing that is there is changed, "
            "and it can be undone (Ctrl+Alt+Z)."
        )
        self.button.clicked.connect(self.go_on)
        self.close_button = QPushButton("✕")
        self.close_button.setFixedWidth(32)
        self.close_button.setToolTip("Not now. It is offered again when the image is opened again.")
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
        panel.listen(self._keeper.changed, self.refresh)
        self.refresh()

    def go_on(self) -> None:
        """Bring the chosen session's labels back."""
        if self._offers:
            self._keeper.go_on(*self._offers[self.box.currentIndex()])

    def dismiss(self) -> None:
        """Offer nothing more for now."""
        for offer in self._offers:
            self._keeper.dismiss(*offer)

    def refresh(self, *_: Any) -> None:
        """Show what is on offer."""
        self._offers = self._keeper.saved_sessions()
        with QSignalBlocker(self.box):
            self.box.clear()
            self.box.addItems([_title(session) for _, session in self._offers])
        self.box.setVisible(len(self._offers) > 1)
        self.setVisible(bool(self._offers))
        self._show_chosen()

    def _show_chosen(self, *_: Any) -> None:
        if not self._offers:
            return
        image, session = self._offers[max(0, self.box.currentIndex())]
        names = ", ".join(f"<i>{shorten(saved.name)}</i>" for saved in session.layers[:3])
        more = f" and {len(session.layers) - 3} more" if len(session.layers) > 3 else ""
        self.text.setText(
            f"You worked on <b>{shorten(image.name)}</b> before: {names}{more} ({_title(session)})."
        )


def _title(session: SavedSession) -> str:
    when = f"{session.when:%d %b %Y, %H:%M}"
    return f"{session.objects} objects, {when}"
