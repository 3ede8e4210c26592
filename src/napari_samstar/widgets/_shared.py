"""Small parts that several panels use."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

if TYPE_CHECKING:
    from napari_samstar.widgets._desk import Desk
    from napari_samstar.widgets._jobs import Status

PREVIEW_NAME = "SAM* preview"


class Panel(QScrollArea):
    """Base of the dock panels: a column of rows, and listeners that go when the panel goes.

    It scrolls, so that a small screen keeps room for the image.

    Closing a panel deletes the Qt objects while the session lives on; a listener left behind
    would then call into freed memory.
    """

    HIGH = 420  # px, the height it asks for at most

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        content = QWidget()
        self.setWidget(content)
        self.column = QVBoxLayout(content)
        self.column.setContentsMargins(8, 8, 8, 8)
        self.column.setSpacing(6)
        self._connections: list[tuple[Any, Callable[..., Any]]] = []
        connections = self._connections
        self.destroyed.connect(lambda: _disconnect(connections))

    def sizeHint(self) -> QSize:
        """Return what the content would like, but not higher than a small screen allows."""
        size = self.widget().sizeHint()
        return QSize(size.width() + 16, min(size.height(), self.HIGH))

    def minimumSizeHint(self) -> QSize:
        """Return the width of the content, which does not scroll sideways."""
        return QSize(self.widget().minimumSizeHint().width() + 16, 120)

    def listen(self, signal: Any, method: Callable[..., Any]) -> None:
        """Connect `method`, one of this panel's, until the panel is destroyed."""
        me = weakref.ref(self)
        name = method.__name__

        def forward(*arguments: Any) -> None:
            panel = me()
            if panel is not None:
                getattr(panel, name)(*arguments)

        signal.connect(forward)
        self._connections.append((signal, forward))

    def row(self, *widgets: QWidget, stretch: int = 0) -> QHBoxLayout:
        """Add a row of widgets; `stretch` is the position of the one that takes the space."""
        line = QHBoxLayout()
        line.setSpacing(6)
        for k, widget in enumerate(widgets):
            line.addWidget(widget, 1 if k == stretch else 0)
        self.column.addLayout(line)
        return line


def _disconnect(connections: list[tuple[Any, Callable[..., Any]]]) -> None:
    for signal, method in connections:
        signal.disconnect(method)
    connections.clear()


def note(text: str = "") -> QLabel:
    """Return a wrapping label in small, quiet type."""
    label = QLabel(text)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)
    return label


def heading(text: str) -> QLabel:
    """Return a bold label."""
    label = QLabel(f"<b>{text}</b>")
    label.setContentsMargins(0, 6, 0, 0)
    return label


class JobBar(QWidget):
    """Shows the running job, its time left and a Stop button; hidden while nothing runs."""

    def __init__(self, panel: Panel) -> None:
        super().__init__()
        self._jobs = panel.desk.jobs
        self.text = note()
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setMaximumHeight(10)
        self.stop = QPushButton("Stop")
        self.stop.setToolTip("Stop at once. What was found so far stays.")
        self.stop.clicked.connect(self._jobs.stop)
        line = QHBoxLayout()
        line.addWidget(self.bar, 1)
        line.addWidget(self.stop)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.text)
        column.addLayout(line)
        self.show_status(self._jobs.status)

    def show_status(self, status: Status) -> None:
        """Show `status`."""
        self.setVisible(bool(status.title))
        step = status.progress
        self.bar.setRange(0, step.total)
        self.bar.setValue(step.done)
        self.text.setText((step.text or status.title) + time_left(status.seconds_left))


def time_left(seconds: float | None) -> str:
    """Return " — about 2 min left", or nothing where it is not known."""
    if seconds is None:
        return "…"
    if seconds < 90:
        return f" — about {max(1, round(seconds))} s left"
    return f" — about {round(seconds / 60)} min left"
