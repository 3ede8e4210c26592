"""Layers and panels that are removed, or opened twice, while a job runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from napari.layers import Labels
from qtpy.compat import isalive

from napari_samstar.widgets.panels.tune.panel import TunePanel
from napari_samstar.widgets.viewer.history import History
from napari_samstar.widgets.viewer.layer_writer import COMPARISON_NAME, PREVIEW_NAME, LayerWriter
from napari_samstar.widgets.viewer.stack_filler import StackFiller
from tests.widgets.conftest import discs
from tests.widgets.waiting import let_events_run, wait_until_drawn, wait_until_idle


def _search(panels: Any, qtbot: Any) -> Any:
    """Start a long search; return the session once there are trials."""
    session = panels.tune.controller.session
    panels.tune.budget_box.setValue(panels.tune.budget_box.maximum())
    panels.tune.run_button.click()
    qtbot.waitUntil(lambda: len(session.trials) > 10)
    return session


def test_removing_the_image_stops_the_search_and_removes_the_preview(
    segmented: Any, qtbot: Any
) -> None:
    session, jobs = _search(segmented, qtbot), segmented.tune.controller.jobs
    segmented.front.compare(int(session.front.members[0]))
    segmented.viewer.layers.remove("discs")
    assert not jobs.busy
    wait_until_idle(segmented, qtbot)
    assert session.result is None
    assert session.trials == ()
    qtbot.waitUntil(lambda: len(segmented.viewer.layers) == 0)
    assert not segmented.tune.run_button.isEnabled()


def test_removing_the_image_during_segmentation_leaves_no_preview(panels: Any, qtbot: Any) -> None:
    jobs = panels.segment.controller.jobs
    panels.segment.run_button.click()
    assert jobs.busy
    panels.viewer.layers.remove("discs")
    wait_until_idle(panels, qtbot)
    assert PREVIEW_NAME not in panels.viewer.layers
    assert panels.segment.controller.session.result is None


def test_a_panel_reopened_during_a_search_shows_its_progress(segmented: Any, qtbot: Any) -> None:
    session, viewer = _search(segmented, qtbot), segmented.viewer
    viewer.window.remove_dock_widget(segmented.tune)
    segmented.tune.deleteLater()
    again = TunePanel(viewer)
    viewer.window.add_dock_widget(again)
    assert not again.job_bar.isHidden()
    known = len(session.trials)
    qtbot.waitUntil(lambda: len(session.trials) > known)
    assert "settings tried" in again.message.text()
    again.job_bar.stop.click()
    wait_until_idle(segmented, qtbot)
    assert again.job_bar.isHidden()
    assert again.continue_button.isEnabled()


def test_two_panels_of_a_kind_stay_in_step_and_one_can_be_closed(
    segmented: Any, qtbot: Any
) -> None:
    viewer = segmented.viewer
    twin = TunePanel(viewer)
    viewer.window.add_dock_widget(twin)
    session = _search(segmented, qtbot)
    assert not twin.job_bar.isHidden()
    viewer.window.remove_dock_widget(segmented.tune)
    segmented.tune.deleteLater()
    qtbot.waitUntil(lambda: not isalive(segmented.tune))
    twin.job_bar.stop.click()
    wait_until_idle(segmented, qtbot)
    assert session.front is not None
    assert f"{len(session.trials)} settings tried" in twin.message.text()


def test_a_removed_preview_is_added_again_by_the_next_choice(segmented: Any) -> None:
    viewer, session = segmented.viewer, segmented.segment.controller.session
    viewer.layers.remove(PREVIEW_NAME)
    session.show(session.config.replace(pred_iou_thresh=0.4))
    assert viewer.layers[PREVIEW_NAME].data.max() > 0


def test_a_layer_removed_while_it_is_measured_is_not_added_again(
    segmented: Any, qtbot: Any
) -> None:
    segmented.segment.apply_button.click()
    viewer, controller = segmented.viewer, segmented.segment.controller
    layer = controller.layers.applied
    viewer.layers.remove(layer)
    qtbot.waitUntil(lambda: len(layer.features) > 0)
    assert layer not in viewer.layers
    assert controller.layers.applied is None
    controller.history.undo()
    controller.history.redo()
    assert layer in viewer.layers


def test_a_stack_layer_removed_while_it_is_filled_is_not_added_again(
    make_napari_viewer: Any,
) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((3, 8, 8)))
    writer, whole = LayerWriter(viewer, History()), Labels(np.zeros((3, 8, 8), np.int32))
    filler, plane = StackFiller(writer, whole, [(0,), (1,)]), np.ones((8, 8), np.int32)
    filler.write_plane((0,), plane)
    assert whole in viewer.layers
    viewer.layers.remove(whole)
    filler.write_plane((1,), plane + 1)
    assert whole not in viewer.layers
    assert whole.data[1].min() == 2, "a redo brings all planes back"


def test_apply_undo_and_previews_block_the_window_no_longer_than_napari(
    segmented: Any, qtbot: Any
) -> None:
    """Processor time of the GUI thread beyond a bare layer's, the least of three measurements."""
    viewer, front, history = segmented.viewer, segmented.front, segmented.front.controller.history
    segmented.tune.budget_box.setValue(48)
    segmented.tune.run_button.click()
    wait_until_idle(segmented, qtbot)
    labels = viewer.layers[PREVIEW_NAME].data.copy()
    bare = viewer.add_labels(labels)  # the first one compiles shaders
    viewer.layers.remove(bare)
    members = segmented.front.controller.session.front.members.tolist()
    seconds: dict[str, list[float]] = {}

    def measure(name: str, action: Callable[[], Any]) -> None:
        wait_until_drawn(viewer, qtbot)
        let_events_run(qtbot)
        start = time.thread_time()
        action()
        seconds.setdefault(name, []).append(time.thread_time() - start)

    for _ in range(3):
        measure("add", lambda: viewer.add_labels(labels, name="bare"))
        measure("remove", lambda: viewer.layers.remove("bare"))
        front.choose(members[0])
        front.compare(members[-1])
        measure("end a comparison", lambda: front.choose(members[-1]))
        assert front.controller.layers.visible_layer(COMPARISON_NAME) is None
        measure("apply", front.apply_button.click)
        measure("undo", history.undo)
        measure("redo", history.redo)
        history.undo()
    least = {name: min(values) for name, values in seconds.items()}
    assert least["end a comparison"] < 0.1
    assert least["apply"] < least["add"] + 0.1
    assert least["undo"] < least["remove"] + 0.05
    assert least["redo"] < least["add"] + 0.1


def test_the_image_of_a_stack_can_be_removed_while_its_labels_stay(panels: Any, qtbot: Any) -> None:
    """napari alone crashes here with software OpenGL: it draws a plane of the removed image."""
    viewer = panels.viewer
    viewer.layers.clear()
    wait_until_drawn(viewer, qtbot)
    stack = viewer.add_image(np.stack([discs()] * 4), name="stack")
    viewer.dims.set_current_step(0, 2)
    panels.segment.image_form.layer_box.setCurrentText("stack")
    panels.segment.run_button.click()
    wait_until_idle(panels, qtbot)
    applied = panels.segment.controller.apply()
    wait_until_drawn(viewer, qtbot)
    viewer.layers.remove(stack)
    qtbot.waitUntil(lambda: PREVIEW_NAME not in viewer.layers)
    wait_until_drawn(viewer, qtbot)
    viewer.screenshot(canvas_only=False)
    assert applied.visible
    assert PREVIEW_NAME not in viewer.layers
