"""Position of the panels in napari's window: one dock area, as tabs."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

PLUGIN = "napari-samstar"

PANEL_OBJECT_NAME = "samstar panel"
"""Qt object name of the plugin's panels and of their shells."""


def parent_dock(widget: QWidget) -> QDockWidget | None:
    """Return the dock that contains a widget, None if there is none."""
    above = widget.parentWidget()
    while above is not None and not isinstance(above, QDockWidget):
        above = above.parentWidget()
    return above


def tabify_with_panels(dock: QDockWidget) -> None:
    """Make `dock` a tab beside the open panels in its area; stacked, each would be too low."""
    window = dock.parent()
    if dock.isFloating() or not isinstance(window, QMainWindow):
        return
    # Short titles: six tabs share 430 px.
    dock.setWindowTitle(dock.windowTitle().removesuffix(f" ({PLUGIN})"))
    if any(_contains_panel(other) for other in window.tabifiedDockWidgets(dock)):
        return
    area = window.dockWidgetArea(dock)
    for other in window.findChildren(QDockWidget):
        docked = other is not dock and other.isVisible() and not other.isFloating()
        if docked and _contains_panel(other) and window.dockWidgetArea(other) == area:
            # The area does not change, but on the signal napari would write its settings twice.
            with QSignalBlocker(dock):
                window.tabifyDockWidget(other, dock)
            dock.raise_()
            return


def _contains_panel(dock: QDockWidget) -> bool:
    return dock.findChild(QWidget, PANEL_OBJECT_NAME) is not None
