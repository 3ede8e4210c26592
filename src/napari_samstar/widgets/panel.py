"""Base class of the dock panels."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject, QSize, Qt, Signal
from qtpy.QtWidgets import (
    QDockWidget,
    QFrame,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_samstar.widgets.shell.alive import call_if_alive
from napari_samstar.widgets.shell.docking import PANEL_OBJECT_NAME, open_page, parent_dock
from napari_samstar.widgets.viewer.controller import controller_of

if TYPE_CHECKING:
    import napari


class _Column(QScrollArea):
    """Rows that scroll vertically only."""

    def __init__(self) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        content = QWidget()
        self.setWidget(content)
        self.rows = QVBoxLayout(content)
        self.rows.setContentsMargins(8, 8, 4, 4)  # the scroll bar is beside it
        self.rows.setSpacing(6)

    def sizeHint(self) -> QSize:
        """Return the size of the content."""
        size = self.widget().sizeHint()
        return QSize(size.width() + 16, size.height())

    def minimumSizeHint(self) -> QSize:
        """Return the width of the content, and room for some rows."""
        return QSize(self.widget().minimumSizeHint().width() + 16, 60)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Request more width if the content does, for example when a section is expanded."""
        done = bool(super().eventFilter(watched, event))
        if event.type() == QEvent.Type.LayoutRequest and watched is self.widget():
            self.updateGeometry()
        return done


class Panel(QWidget):
    """A scrolling column of rows, and below it what is always in sight: messages and actions.

    Its listeners are disconnected when it is destroyed. Closing a panel deletes its Qt objects
    while the session stays; a listener that remained connected would then call into freed memory.

    Attributes
    ----------
    controller : ViewerController
    viewer : weak reference to Viewer
    column : QVBoxLayout
        The rows that scroll.
    actions : QVBoxLayout
        The rows below, which do not.
    seen : bool
        Whether the user can see the panel. Qt's `isVisible` is also true behind another tab.
    """

    WIDTH = 340  # px
    MAX_HEIGHT = 420  # px, of the size hint: a small screen keeps room for the image

    seen_changed = Signal(bool)
    """Emitted with the new value of `seen`."""

    def __init__(self, viewer: napari.Viewer) -> None:
        super().__init__()
        self.setObjectName(PANEL_OBJECT_NAME)
        self.controller = controller_of(viewer)
        self.viewer = weakref.ref(getattr(viewer, "__wrapped__", viewer))
        self.seen = False
        self._dock: QDockWidget | None = None
        self.scroll = _Column()
        self.column = self.scroll.rows
        self.actions = QVBoxLayout()
        self.actions.setContentsMargins(8, 2, 8, 6)
        self.actions.setSpacing(5)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        whole.addWidget(self.scroll, 1)
        whole.addLayout(self.actions)
        self._connections: list[tuple[Any, Callable[..., Any]]] = []
        connections = self._connections
        self.destroyed.connect(lambda: _disconnect(connections))

    def sizeHint(self) -> QSize:
        """Return the same width whatever the texts, and at most `MAX_HEIGHT` px of height."""
        width = max(self.WIDTH, self.minimumSizeHint().width())
        return QSize(width, min(super().sizeHint().height(), self.MAX_HEIGHT))

    def listen(self, signal: Any, method: Callable[..., Any]) -> None:
        """Connect a method of this panel or of a child widget until the panel is destroyed."""
        forward = call_if_alive(method)
        signal.connect(forward)
        self._connections.append((signal, forward))

    def showEvent(self, event: Any) -> None:
        """Find out from the dock when its tab is chosen."""
        super().showEvent(event)
        above = parent_dock(self)
        if above is not None and above is not self._dock:
            self._dock = above
            forward = call_if_alive(self._on_dock_visible)
            above.visibilityChanged.connect(partial(forward, above))
        self._set_seen(True)

    def _on_dock_visible(self, dock: QDockWidget, visible: bool) -> None:
        if dock is self._dock:  # the page may have moved to another one since
            self._set_seen(visible and self.isVisible())

    def hideEvent(self, event: Any) -> None:
        """Note that the panel is not seen."""
        super().hideEvent(event)
        self._set_seen(False)

    def _set_seen(self, seen: bool) -> None:
        if seen != self.seen:
            self.seen = seen
            self.seen_changed.emit(seen)

    def connect_links(self, label: QLabel) -> None:
        """Make the links of a `note` open the panels that they name."""
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        label.linkActivated.connect(self.open_panel)

    def open_panel(self, name: str) -> None:
        """Show another page of the plugin's dock, by the name of a `link`."""
        viewer = self.viewer()
        if viewer is not None:
            open_page(viewer, name)

    def add_row(self, *widgets: QWidget, stretch: int = 0, below: bool = False) -> QHBoxLayout:
        """Add a row of widgets; the one at position `stretch` takes the free width.

        Parameters
        ----------
        below : bool
            Whether it is one of the rows that do not scroll.
        """
        line = QHBoxLayout()
        line.setSpacing(6)
        for k, widget in enumerate(widgets):
            line.addWidget(widget, 1 if k == stretch else 0)
        (self.actions if below else self.column).addLayout(line)
        return line


def _disconnect(connections: list[tuple[Any, Callable[..., Any]]]) -> None:
    for signal, method in connections:
        signal.disconnect(method)
    connections.clear()
