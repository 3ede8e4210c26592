"""The plugin's one dock widget in napari's window, and its pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QDockWidget, QWidget

if TYPE_CHECKING:
    import napari

PLUGIN = "napari-samstar"

WIDGET = "Segment and tune"
"""Name of the plugin's widget in napari's menu."""

PANEL_OBJECT_NAME = "samstar panel"
"""Qt object name of the plugin's panels and of their shells."""


def parent_dock(widget: QWidget) -> QDockWidget | None:
    """Return the dock that contains a widget, None if there is none."""
    above = widget.parentWidget()
    while above is not None and not isinstance(above, QDockWidget):
        above = above.parentWidget()
    return above


def open_page(viewer: napari.Viewer, name: str) -> Any:
    """Open the plugin's dock, or raise it, and show one of its pages; returns the page's shell.

    Parameters
    ----------
    name : str
        "Segment", "Tune", "Pareto front", "Correct", "Why is it missing?" or "Results".
    """
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
    dock.show()
    dock.raise_()
    return widget.show_page(name)
