"""What all panels have in common."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt

from tests.widgets.waiting import let_events_run

PLUGIN = "napari-samstar"


def test_panels_are_tabs_of_one_dock_area_until_the_user_moves_them(
    make_napari_viewer: Any, qtbot: Any
) -> None:
    viewer = make_napari_viewer(show=True)
    window = viewer.window._qt_window
    first, shell = viewer.window.add_plugin_dock_widget(PLUGIN, "Segment")
    segment = shell.finish()
    qtbot.waitUntil(lambda: first.windowTitle() == "Segment")
    second, shell = viewer.window.add_plugin_dock_widget(PLUGIN, "Tune")
    tune = shell.finish()
    qtbot.waitUntil(lambda: first in window.tabifiedDockWidgets(second))
    qtbot.waitUntil(lambda: tune.seen and not segment.seen)

    segment.open_panel("Segment")
    qtbot.waitUntil(lambda: segment.seen and not tune.seen)
    window.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, second)
    second.hide()
    second.show()
    qtbot.waitUntil(lambda: tune.seen)
    let_events_run(qtbot)
    assert first not in window.tabifiedDockWidgets(second)
