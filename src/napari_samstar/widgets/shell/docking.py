"""Where the panels lie in napari's window: beside each other, as tabs."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

PLUGIN = "napari-samstar"

PANEL_OBJECT_NAME = "samstar panel"
"""Object name of what stands in a dock of ours."""


def parent_dock(widget: QWidget) -> QDockWidget | None:
    """Return the dock that a widget is in, None where it is in none."""
    above = widget.parentWidget()
    while above is not None and not isinstance(above, QDockWidget):
        above = above.parentWidget()
    return above


def tabify_with_panels(dock: QDockWidget) -> None:
    """Make `dock` a tab beside the panels that are there; below them it would be cut off."""
    window = dock.parent()
    if dock.isFloating() or not isinstance(window, QMainWindow):
        return
    dock.setWindowTitle(dock.windowTitle().removesuffix(f" ({PLUGIN})"))  # six tabs, 430 px
    if any(_is_ours(other) for other in window.tabifiedDockWidgets(dock)):
        return
    area = window.dockWidgetArea(dock)
    for other in window.findChildren(QDockWidget):
        alike = other is not dock and not other.isFloating() and _is_ours(other)
        if alike and other.isVisible() and window.dockWidgetArea(other) == area:
            # The area stays the same, but on word of it napari writes its settings, twice.
            with QSignalBlocker(dock):
                window.tabifyDockWidget(other, dock)
            dock.raise_()
            return


def _is_ours(dock: QDockWidget) -> bool:
    return dock.findChild(QWidget, PANEL_OBJECT_NAME) is not None
