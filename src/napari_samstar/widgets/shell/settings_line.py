"""The current settings in one line, below every page."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QToolButton, QWidget

from napari_samstar.widgets.shell.alive import call_if_alive

if TYPE_CHECKING:
    from napari_samstar.app.session import Session


class SettingsLine(QWidget):
    """Says with which settings every tool works, and leads back to SAM's defaults.

    Parameters
    ----------
    session : Session
    on_defaults : callable
        Called when the user wants the defaults.
    """

    def __init__(self, session: Session, on_defaults: Callable[[], None]) -> None:
        super().__init__()
        self._session = session
        self._whole = ""
        self.text = QLabel()
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.defaults_button = QToolButton()
        self.defaults_button.setText("Defaults")
        self.defaults_button.setToolTip("Back to SAM's defaults. The front stays.")
        self.defaults_button.clicked.connect(lambda: on_defaults())
        line = QHBoxLayout(self)
        line.setContentsMargins(8, 0, 8, 4)
        line.addWidget(self.text, 1)
        line.addWidget(self.defaults_button)
        self._forward = call_if_alive(self.refresh)
        for event in (session.events.config, session.events.result, session.events.edits):
            event.connect(self._forward)
        connected, forward = session.events, self._forward
        self.destroyed.connect(lambda: _disconnect(connected, forward))
        self.refresh()

    def refresh(self, *_: Any) -> None:
        """Show the settings as they are now."""
        from napari_samstar.core.amg.summary import summary

        settings, edits = self._session.settings, self._session.edits
        text = summary(settings)
        by_hand = max(len(edits.pinned), len(edits.dropped))
        if by_hand:
            text += f" · {by_hand} by hand"
        self._whole = text
        self.text.setToolTip(f"The settings that every tool uses now: {text}")
        self._elide()

    def resizeEvent(self, event: Any) -> None:
        """Shorten the text where the line is too narrow for it."""
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        room = max(self.text.width(), 40)
        metrics = self.text.fontMetrics()
        self.text.setText(metrics.elidedText(self._whole, Qt.TextElideMode.ElideRight, room))


def _disconnect(events: Any, method: Any) -> None:
    for event in (events.config, events.result, events.edits):
        event.disconnect(method)
