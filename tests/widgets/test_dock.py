"""The one dock: its pages, and that everything leads to them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from qtpy.compat import isalive
from qtpy.QtWidgets import QDockWidget, QSlider

from napari_samstar.widgets.forms.buttons import CollapsibleSection
from napari_samstar.widgets.shell.dock import SamstarDock
from napari_samstar.widgets.shell.docking import PLUGIN, WIDGET, open_page
from napari_samstar.widgets.shell.shells import SHELLS, SegmentShell, Shell
from napari_samstar.widgets.viewer.controller import controller_of
from tests.widgets.conftest import discs
from tests.widgets.hand import camera_of
from tests.widgets.waiting import let_events_run

HEAVY = ["pyqtgraph", "pandas", "tifffile", "torch", "napari", "magicgui"]

LIGHT = f"""
import sys
import napari_samstar.widgets.shell.dock
print(sorted({{m.partition(".")[0] for m in sys.modules}} & set({HEAVY!r})))
"""


def our_docks(viewer: Any) -> list[QDockWidget]:
    docks = viewer.window._qt_window.findChildren(QDockWidget)
    return [dock for dock in docks if dock.findChild(SamstarDock) is not None]


@pytest.fixture
def viewer(make_napari_viewer: Any) -> Any:
    made = make_napari_viewer(show=True)
    made.add_image(discs(), name="discs", scale=(0.5, 0.5), units=("nm", "nm"))
    return made


def test_the_module_of_the_dock_imports_no_heavy_package() -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_all_pages_open_in_one_dock_that_leaves_room_for_the_image(viewer: Any, qtbot: Any) -> None:
    viewer.window._qt_window.resize(1280, 720)
    for kind in SHELLS:
        page = open_page(viewer, kind.NAME)
        qtbot.waitUntil(lambda page=page: page.panel is not None)
        assert type(page.panel).__name__ == kind.PANEL
        qtbot.waitUntil(lambda page=page: page.panel.seen)
        assert page.panel.minimumSizeHint().width() <= 360, kind.NAME
        assert page.finish() is page.panel
    (dock,) = our_docks(viewer)
    qtbot.waitUntil(lambda: dock.width() <= 360)
    seen = [kind.NAME for kind in SHELLS if open_page(viewer, "Tune") and _seen(viewer, kind.NAME)]
    assert seen == ["Tune"]


def _seen(viewer: Any, name: str) -> bool:
    return bool(our_docks(viewer)[0].findChild(SamstarDock).pages[name].panel.seen)


def test_links_the_menu_and_a_recipe_lead_to_the_same_page(
    viewer: Any, qtbot: Any, tmp_path: Any
) -> None:
    segment = open_page(viewer, "Segment").finish()
    tune = open_page(viewer, "Tune").finish()
    tune.open_panel("Segment")
    qtbot.waitUntil(lambda: segment.seen and not tune.seen)
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
    assert widget.pages["Segment"].panel is segment
    tune.open_panel("Tune")
    controller = controller_of(viewer)
    recipe = tmp_path / "a.samstar.json"
    recipe.write_text(json.dumps(_recipe()))
    viewer.open(str(recipe), plugin=PLUGIN)
    qtbot.waitUntil(lambda: segment.seen)
    assert len(our_docks(viewer)) == 1
    assert controller.session.loaded is not None


def _recipe() -> dict[str, Any]:
    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.image.mapping import ImageMapping
    from napari_samstar.core.results.recipe import Recipe

    made = Recipe(
        model="pocket",
        model_sha256="0" * 64,
        image={"name": "a", "key": "k"},
        config=AmgConfig(pred_iou_thresh=0.71),
        mapping=ImageMapping(),
    )
    return made.to_dict()


@pytest.mark.parametrize("button", [True, False], ids=["napari's button", "closed"])
def test_a_page_is_torn_out_and_comes_back_when_its_dock_closes(
    viewer: Any, qtbot: Any, button: bool
) -> None:
    dock = viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)[1]
    tune = open_page(viewer, "Tune").finish()
    dock.tear_out()
    qtbot.waitUntil(lambda: tune.seen)
    segment = open_page(viewer, "Segment").finish()
    qtbot.waitUntil(lambda: segment.seen and tune.seen)
    assert open_page(viewer, "Tune").panel is tune
    own = [d for d in viewer.window._qt_window.findChildren(QDockWidget) if d.isAncestorOf(tune)]
    assert len(own) == 1
    assert own[0].findChild(SamstarDock) is None
    if button:
        own[0].title.close_button.click()
    else:
        own[0].close()
    let_events_run(qtbot)
    assert isalive(tune)
    assert dock.isAncestorOf(tune)
    qtbot.waitUntil(lambda: tune.seen and not segment.seen)


def test_the_image_is_fitted_again_when_the_dock_takes_room(viewer: Any, qtbot: Any) -> None:
    viewer.add_image(np.zeros((20, 600)), name="wide")
    viewer.window._qt_window.resize(1000, 600)
    let_events_run(qtbot)
    viewer.reset_view()
    before = camera_of(viewer).zoom
    viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
    qtbot.waitUntil(lambda: camera_of(viewer).zoom < before)


def test_a_view_that_the_user_zoomed_stays(viewer: Any, qtbot: Any) -> None:
    camera = camera_of(viewer)
    camera.zoom = zoom = 10 * camera.zoom
    viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)[1].finish()
    qtbot.wait(300)
    assert camera_of(viewer).zoom == zoom


def test_the_line_below_says_the_settings_and_leads_back_to_the_defaults(
    viewer: Any, qtbot: Any
) -> None:
    dock = viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)[1]
    segment = dock.finish()
    qtbot.waitUntil(lambda: dock.settings_line is not None)
    line = dock.settings_line
    assert "SAM's defaults" in line.text.toolTip()
    segment.settings.rows["pred_iou_thresh"].value = 0.7
    assert "quality ≥ 0.7" in line.text.toolTip()
    line.defaults_button.click()
    assert "SAM's defaults" in line.text.toolTip()
    assert segment.settings.rows["pred_iou_thresh"].value == pytest.approx(0.88)


def test_settings_belong_to_their_image(viewer: Any, qtbot: Any) -> None:
    viewer.add_image(discs()[::-1], name="other")
    segment = open_page(viewer, "Segment").finish()
    segment.image_form.layer_box.setCurrentText("discs")
    segment.settings.rows["min_mask_region_area"].value = 50
    segment.image_form.invert_box.setChecked(True)
    segment.image_form.layer_box.setCurrentText("other")
    assert segment.settings.config().min_mask_region_area == 0
    assert not segment.image_form.invert_box.isChecked()
    segment.settings.rows["min_mask_region_area"].value = 7
    segment.image_form.layer_box.setCurrentText("discs")
    assert segment.settings.config().min_mask_region_area == 50
    segment.image_form.layer_box.setCurrentText("other")
    assert segment.settings.config().min_mask_region_area == 7


def test_a_dock_closed_early_builds_no_panel(make_napari_viewer: Any, qtbot: Any) -> None:
    viewer = make_napari_viewer()
    shell = SegmentShell(viewer)
    viewer.window.add_dock_widget(shell)
    viewer.window.remove_dock_widget(shell)
    shell.deleteLater()
    qtbot.waitUntil(lambda: not isalive(shell))
    qtbot.waitUntil(shell._imported.is_set)
    let_events_run(qtbot)
    assert shell.panel is None


class BrokenShell(Shell):
    """A shell of a panel that does not exist."""

    MODULE, PANEL = "segment.panel", "NoPanel"


def test_a_panel_that_cannot_be_opened_shows_the_error(make_napari_viewer: Any, qtbot: Any) -> None:
    shell = BrokenShell(make_napari_viewer())
    qtbot.addWidget(shell)
    qtbot.waitUntil(lambda: "cannot be opened" in shell._message.text())
    assert "NoPanel" in shell._message.text()


@pytest.mark.parametrize("name", ["Segment", "Tune", "Pareto front"])
def test_an_expanded_section_is_not_cut_off(viewer: Any, qtbot: Any, name: str) -> None:
    viewer.window._qt_window.resize(1280, 720)
    panel = open_page(viewer, name).finish()
    qtbot.waitUntil(panel.isVisible)
    sections = panel.findChildren(CollapsibleSection)
    for section in sections:
        section.expand(animate=False)
    qtbot.waitUntil(lambda: all(section.content().isVisible() for section in sections))
    scroll = panel.scroll
    qtbot.waitUntil(lambda: scroll.widget().width() <= scroll.viewport().width())
    for slider in panel.findChildren(QSlider):
        qtbot.waitUntil(lambda slider=slider: not slider.isVisible() or slider.width() >= 30)
    for section in sections:
        section.collapse()
    assert not any(section.content().isVisible() for section in sections)


def test_the_main_action_is_in_sight_whatever_is_expanded(viewer: Any, qtbot: Any) -> None:
    viewer.window._qt_window.resize(1280, 720)
    panel = open_page(viewer, "Segment").finish()
    qtbot.waitUntil(panel.isVisible)
    for section in panel.findChildren(CollapsibleSection):
        section.expand(animate=False)
    let_events_run(qtbot)
    for widget in (panel.run_button, panel.apply_button):
        assert widget.visibleRegion().boundingRect().height() == widget.height()
    np.testing.assert_array_less(panel.run_button.mapTo(panel, panel.run_button.rect().bottomLeft())
                                 .y(), panel.height())  # fmt: skip
