"""From napari's menu to applied labels and measurements, with a real mouse and real keys.

The same walk over kinds of images that microscopes give. The widget is opened through napari's own
menu, and every button is pressed with the mouse.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QMenu, QTabBar, QWidget

from napari_samstar import sample_data
from napari_samstar.core.amg import bank
from napari_samstar.widgets.forms.apply_row import ApplyRow
from napari_samstar.widgets.shell.dock import SamstarDock
from napari_samstar.widgets.shell.docking import WIDGET
from napari_samstar.widgets.viewer.layer_writer import PREVIEW_NAME, RECIPE_KEY
from tests.widgets.conftest import decode_once, discs
from tests.widgets.hand import Hand
from tests.widgets.waiting import let_events_run


class User:
    """Counts the clicks of a user who sees only the window."""

    def __init__(self, viewer: Any, qtbot: Any) -> None:
        self.viewer, self.qtbot, self.clicks = viewer, qtbot, 0
        self.dock: Any = None

    def press(self, widget: QWidget) -> None:
        """Click on a widget that is in sight."""
        assert widget.isEnabled(), widget
        shown = widget.visibleRegion().boundingRect()
        assert shown.height() == widget.height(), f"{widget.text()} is not in sight"
        QTest.mouseClick(widget, Qt.MouseButton.LeftButton, pos=shown.center())
        self.clicks += 1

    def open_from_menu(self) -> None:
        """Open the plugin from napari's Plugins menu: two clicks."""
        bar = self.viewer.window._qt_window.menuBar()
        (plugins,) = [a for a in bar.actions() if a.text().replace("&", "") == "Plugins"]
        entry = next(a for a in _entries(plugins.menu()) if WIDGET in a.text())
        entry.trigger()
        self.clicks += 2
        window = self.viewer.window._qt_window
        self.qtbot.waitUntil(lambda: window.findChild(SamstarDock) is not None)
        self.dock = window.findChild(SamstarDock)
        self.qtbot.waitUntil(lambda: self.dock.panel is not None and self.dock.panel.seen)

    def choose_page(self, tab: str) -> Any:
        """Click on a tab; returns its panel."""
        tabs: QTabBar = self.dock.tabs
        index = next(k for k in range(tabs.count()) if tabs.tabText(k) == tab)
        QTest.mouseClick(tabs, Qt.MouseButton.LeftButton, pos=tabs.tabRect(index).center())
        self.clicks += 1
        self.qtbot.waitUntil(lambda: self.dock.panel is not None and self.dock.panel.seen)
        let_events_run(self.qtbot)
        return self.dock.panel

    def wait_until_done(self) -> None:
        jobs = self.dock.panel.controller.jobs
        self.qtbot.waitUntil(lambda: not jobs.busy and jobs._running is None)
        let_events_run(self.qtbot)


def _entries(menu: QMenu) -> list[Any]:
    found = []
    for action in menu.actions():
        found += _entries(action.menu()) if action.menu() is not None else [action]
    return found


def _stack() -> np.ndarray:
    return np.stack([np.roll(discs(), 3 * k, axis=1) for k in range(3)])


IMAGES = {
    "tem": lambda: (sample_data.load("nanocrystals")[0][:160, :200], {}),
    "stain": lambda: (_stained(), {"rgb": True}),
    "phase, 16 bit": lambda: (sample_data.load("phase_cells")[0][:160, :200], {}),
    "zyx": lambda: (_stack(), {"axis_labels": ("z", "y", "x")}),
    "czyx": lambda: (
        np.stack([_stack(), _stack()[:, ::-1]]),
        {"axis_labels": ("c", "z", "y", "x")},
    ),
}


def _stained() -> np.ndarray:
    """Purple nuclei on pink tissue, uint8 (H, W, 3)."""
    share = discs().astype(float)
    share = np.clip((share - 500) / 3000, 0, 1)[..., None]
    pink, purple = np.array([236, 190, 215.0]), np.array([96, 60, 140.0])
    return np.round(pink + share * (purple - pink)).astype(np.uint8)


@pytest.mark.parametrize("kind", IMAGES)
def test_a_walk_from_the_menu_to_labels(
    make_napari_viewer: Any, qtbot: Any, monkeypatch: Any, kind: str
) -> None:
    monkeypatch.setattr(bank, "decode_prompts", decode_once)
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(1280, 720)
    data, about = IMAGES[kind]()
    layer = viewer.add_image(data, name="image", **about)
    user = User(viewer, qtbot)

    # Two clicks in the menu and one on Segment: a preview
    user.open_from_menu()
    segment = user.dock.panel
    user.press(segment.run_button)
    user.wait_until_done()
    session = segment.controller.session
    assert user.clicks == 3
    assert session.n_objects > 0, segment.message.text()
    assert viewer.layers[PREVIEW_NAME].visible

    # Three more: tuned labels in a layer of the user
    tune = user.choose_page("Tune")
    tune.budget_box.setValue(32)
    user.press(tune.run_button)
    user.wait_until_done()
    assert session.chosen == session.front.best
    shown = np.array(viewer.layers[PREVIEW_NAME].data)
    (row,) = tune.findChildren(ApplyRow)
    apply = row.apply
    user.press(apply)
    assert user.clicks == 6
    labels = viewer.layers["image objects"]
    np.testing.assert_array_equal(labels.data, shown)
    assert labels.metadata[RECIPE_KEY]["tuning"]["picked"] == "best"

    # Arrow keys walk along the front, whose preview lies above the applied layer
    front = user.choose_page("Front")
    user.press(front.knee_button)
    front.plot.setFocus()
    members = session.front.members.tolist()
    QTest.keyClick(front.plot, Qt.Key.Key_Left)
    at = members.index(session.chosen)
    assert at == max(members.index(session.front.knee) - 1, 0)
    assert tune.budget_box.value() == 32
    assert viewer.layers.index(viewer.layers[PREVIEW_NAME]) > viewer.layers.index(labels)
    assert viewer.layers[PREVIEW_NAME].visible
    assert labels.contour

    # Delete an object of the applied layer, and take it back
    correct = user.choose_page("Correct")
    user.press(correct.start_button)
    assert correct.target_layer() is labels
    before = np.array(labels.data)
    plane = before.reshape(before.shape[-2:])
    label = int(np.bincount(plane[plane > 0]).argmax())
    from scipy.ndimage import distance_transform_edt

    deep = distance_transform_edt(plane == label)
    row, col = np.unravel_index(int(deep.argmax()), plane.shape)
    ahead = viewer.dims.current_step[: layer.ndim - 2] if not layer.rgb else ()
    hand = Hand(viewer, layer, qtbot)
    hand.click((*ahead, int(row), int(col)))
    qtbot.waitUntil(lambda: not correct.click_queue.busy)
    hand.press(Qt.Key.Key_Delete)
    assert not (labels.data == label).any()
    hand.press(Qt.Key.Key_U)
    np.testing.assert_array_equal(labels.data, before)

    # Results are of the same objects; their unit follows the layer at once
    results = user.choose_page("Results")
    qtbot.waitUntil(lambda: len(results.model.table) == len(np.unique(plane)) - 1)
    labels.scale = (*labels.scale[:-2], 2.0, 2.0)
    labels.units = (*labels.units[:-2], "nm", "nm")
    qtbot.waitUntil(lambda: any("nm" in str(c) for c in results.model.table.columns))
