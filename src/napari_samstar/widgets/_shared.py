"""Small parts that several panels use."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize, Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDockWidget,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QMenu,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_samstar.widgets._alive import when_alive
from napari_samstar.widgets._desk import desk_of

if TYPE_CHECKING:
    import napari

    from napari_samstar.widgets._desk import Desk
    from napari_samstar.widgets._jobs import Status


PLUGIN = "napari-samstar"
LINK = "#4fb0c6"
FAILURE = "#e0605a"


class Panel(QScrollArea):
    """Base of the dock panels: a column of rows, and listeners that go when the panel goes.

    It scrolls, so that a small screen keeps room for the image.

    Closing a panel deletes the Qt objects while the session lives on; a listener left behind
    would then call into freed memory.
    """

    HIGH = 420  # px, the height it asks for at most

    seen_changed = Signal(bool)
    """Whether anyone can see the panel: Qt calls a dock behind another tab visible as well."""

    def __init__(self, viewer: napari.Viewer) -> None:
        super().__init__()
        self.desk = desk_of(viewer)
        self.viewer = weakref.ref(getattr(viewer, "__wrapped__", viewer))
        self.seen = False
        self._dock: QDockWidget | None = None
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
        """Connect `method`, of this panel or of a part of it, until the panel is destroyed."""
        forward = when_alive(method)
        signal.connect(forward)
        self._connections.append((signal, forward))

    def showEvent(self, event: Any) -> None:
        """Learn from the dock when its tab is chosen."""
        super().showEvent(event)
        above = self.parentWidget()
        while above is not None and not isinstance(above, QDockWidget):
            above = above.parentWidget()
        if above is not None and above is not self._dock:
            self._dock = above
            above.visibilityChanged.connect(when_alive(self._set_seen))
            QTimer.singleShot(0, when_alive(self._share_place))
        self._set_seen(True)

    def _share_place(self) -> None:
        """Become a tab beside the panels that are there; below them it would be cut off."""
        dock = self._dock
        window = dock.parent() if dock is not None else None
        if dock is None or dock.isFloating() or not isinstance(window, QMainWindow):
            return
        dock.setWindowTitle(dock.windowTitle().removesuffix(f" ({PLUGIN})"))  # six tabs, 430 px
        area = window.dockWidgetArea(dock)
        for other in window.findChildren(QDockWidget):
            alike = other is not dock and not other.isFloating() and other.findChild(Panel)
            if alike and other.isVisible() and window.dockWidgetArea(other) == area:
                window.tabifyDockWidget(other, dock)
                dock.raise_()
                return

    def hideEvent(self, event: Any) -> None:
        """Note that nobody can see the panel."""
        super().hideEvent(event)
        self._set_seen(False)

    def _set_seen(self, seen: bool) -> None:
        if seen != self.seen:
            self.seen = seen
            self.seen_changed.emit(seen)

    def follow(self, label: QLabel) -> None:
        """Let the links of a `note` open the panels that they name."""
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        label.linkActivated.connect(self.open_panel)

    def open_panel(self, name: str) -> None:
        """Open another panel of the plugin, or bring it to the front."""
        viewer = self.viewer()
        if viewer is not None:
            dock, _ = viewer.window.add_plugin_dock_widget(PLUGIN, name)
            dock.show()
            dock.raise_()

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


def link(panel: str, text: str = "") -> str:
    """Return HTML that opens another panel; for a `note` whose links `follow` handles."""
    return f"<a href='{panel}' style='color:{LINK}'>{text or panel}</a>"


def failure(text: str) -> str:
    """Return HTML for something that went wrong."""
    return f"<span style='color:{FAILURE}'>{text}</span>"


def combo(tip: str, items: Iterable[str] = ()) -> QComboBox:
    """Return a menu that long names do not widen."""
    box = QComboBox()
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(8)
    box.addItems(list(items))
    box.setToolTip(tip)
    return box


def form() -> QFormLayout:
    """Return a compact form."""
    made = QFormLayout()
    made.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    made.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
    made.setVerticalSpacing(4)
    return made


def shorten(name: str, most: int = 36) -> str:
    """Return `name` with its middle left out where it is too long."""
    half = (most - 1) // 2
    return name if len(name) <= most else f"{name[:half]}…{name[-half:]}"


class ApplyRow(QWidget):
    """Apply, with a menu of what to replace, and undo and redo of what we did to layers."""

    def __init__(self, panel: Panel, viewer: napari.Viewer) -> None:
        super().__init__()
        self._desk = panel.desk
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
        self.undo.clicked.connect(self._desk.history.undo)
        self.redo.clicked.connect(self._desk.history.redo)
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(4)
        line.addWidget(self.apply, 1)
        for button in (self.more, self.undo, self.redo):
            button.setFixedWidth(32)
            line.addWidget(button)
        panel.listen(self._desk.history.changed, self._on_history_changed)
        panel.listen(self._desk.session.events.selection, self._on_session_selection)
        self._on_history_changed()
        self._on_session_selection()

    def _on_apply_clicked(self) -> None:
        self._desk.apply()

    def _on_more_clicked(self) -> None:
        self.menu.popup(self.more.mapToGlobal(self.more.rect().bottomLeft()))

    def _fill_menu(self) -> None:
        self.menu.clear()
        self.menu.addAction("New Labels layer", self._on_apply_clicked)
        for layer in self._desk.layers.replaceable():
            act = self.menu.addAction(f"Replace the objects of {shorten(layer.name)}")
            act.triggered.connect(partial(_replace, weakref.ref(layer), self._desk))

    def _on_history_changed(self) -> None:
        history = self._desk.history
        for button, text, what, keys in (
            (self.undo, history.undo_text, "Undo", "Ctrl+Alt+Z"),
            (self.redo, history.redo_text, "Redo", "Ctrl+Alt+Shift+Z"),
        ):
            button.setEnabled(bool(text))
            button.setToolTip(f"{what}: {text} ({keys})" if text else f"Nothing to {what.lower()}")

    def _on_session_selection(self, *_: Any) -> None:
        session = self._desk.session
        some = session.selection is not None and len(session.selection) > 0
        for button in (self.apply, self.more):
            button.setEnabled(some or bool(session.rescued))


def _replace(layer: weakref.ref[Any], desk: Desk, *_: Any) -> None:
    target = layer()
    if target is not None:
        desk.apply(target)


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
