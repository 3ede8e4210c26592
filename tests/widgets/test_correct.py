"""The Correct panel: clicks on objects in a viewer, with the bundled model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_samstar.core.amg import bank
from napari_samstar.core.interactive import unfinished
from napari_samstar.core.masks.outlines import rim
from napari_samstar.widgets.jobs.task_queue import TaskQueue
from napari_samstar.widgets.panels.correct.panel import CorrectPanel
from napari_samstar.widgets.viewer.autosave_tasks import EXECUTOR
from napari_samstar.widgets.viewer.layer_writer import OUTLINE_NAME, OUTLINE_WIDTH, PREVIEW_NAME
from napari_samstar.widgets.viewer.objects import ObjectsOnShow
from tests.widgets.conftest import decode_once, discs, type_into_dialog
from tests.widgets.hand import CONTROL, RIGHT, SHIFT, Hand, camera_of
from tests.widgets.waiting import wait_until_idle

DISC, OTHER_DISC = (90, 50), (30, 30)


@pytest.fixture
def correct(segmented: Any) -> CorrectPanel:
    """The panel at work on an empty layer of the user."""
    panel = CorrectPanel(segmented.viewer)
    segmented.viewer.window.add_dock_widget(panel)
    panel.start_button.setChecked(True)
    work_on_an_empty_layer(panel)
    return panel


def work_on_an_empty_layer(panel: CorrectPanel) -> None:
    """Add a Labels layer like the preview, without objects, and choose it."""
    preview = panel.viewer().layers[PREVIEW_NAME]
    panel.viewer().add_labels(np.zeros_like(preview.data), name="mine", scale=preview.scale)
    panel.layer_box.setCurrentText("mine")


@pytest.fixture
def hand(correct: CorrectPanel, qtbot: Any) -> Hand:
    """A hand that waits after each action until the panel has processed it."""
    viewer = correct.viewer()

    class PatientHand(Hand):
        def click(self, *args: Any, **more: Any) -> None:
            super().click(*args, **more)
            wait_until_processed(correct, qtbot)

        def drag(self, *args: Any, **more: Any) -> None:
            super().drag(*args, **more)
            wait_until_processed(correct, qtbot)

    return PatientHand(viewer, viewer.layers["discs"], qtbot)


def wait_until_processed(panel: CorrectPanel, qtbot: Any) -> None:
    """Wait until no click is computed and no training runs."""
    qtbot.waitUntil(lambda: not panel.click_queue.busy and not panel.training_queue.busy)


def test_a_click_shows_an_outline_that_undo_and_redo_follow(correct, hand, qtbot):
    hand.click(DISC)
    mask = correct.correction.mask
    assert mask[DISC]
    outline = correct.viewer().layers[OUTLINE_NAME]
    line = rim(mask, OUTLINE_WIDTH)
    marks = outline.data == 2  # green: where the click was
    assert marks[DISC]
    np.testing.assert_array_equal(outline.data[~marks], line[~marks])
    hand.click((90, 40), RIGHT)
    assert not correct.correction.mask[90, 40]
    assert [c.positive for c in correct.correction.clicks] == [True, False]
    correct.undo_button.click()
    np.testing.assert_array_equal(correct.correction.mask, mask)
    assert correct.redo_button.isEnabled()
    correct.redo_button.click()
    assert not correct.correction.mask[90, 40]
    correct.skip_button.click()
    assert correct.correction.state is None
    assert correct.controller.layers.visible_layer(OUTLINE_NAME) is None


def test_accepted_objects_are_written_and_learned_and_both_can_be_taken_back(correct, hand, qtbot):
    controller = correct.controller
    for at in (DISC, OTHER_DISC):
        hand.click(at)
        correct.accept_button.click()
        wait_until_processed(correct, qtbot)
    layer = correct.target_layer()
    assert sorted(np.unique(layer.data)) == [0, 1, 2]
    assert (
        "2 objects" in correct.learn_form.state.text()
        or "rolled back" in correct.learn_form.state.text()
    )
    original = controller.session.result.model
    if correct.correction.adaptation.delta is not None:
        assert correct.correction.adaptation.model is not original
    controller.history.undo()
    assert sorted(np.unique(layer.data)) == [0, 1]
    correct.learn_form.reset_button.click()
    assert correct.correction.adaptation.model is original
    assert "Nothing learned" in correct.learn_form.state.text()


def test_an_object_of_a_layer_is_refined_and_its_neighbours_keep_their_pixels(correct, hand, qtbot):
    controller = correct.controller
    layer = controller.apply()
    layer.data[80:100, 30:50] = 77  # half of a disc, badly drawn
    layer.data[60:70, 100:110] = 78
    layer.data[75:105, 50:75] = 0
    before = np.array(layer.data)
    correct.layer_box.setCurrentText(layer.name)
    correct.learn_form.learn_box.setChecked(False)
    hand.click((90, 40))
    assert correct.correction.label == 77
    np.testing.assert_array_equal(correct.correction.mask, before == 77)
    hand.click((90, 60))
    correct.accept()
    assert (layer.data == 77).sum() != (before == 77).sum()
    others = (before != 0) & (before != 77)
    np.testing.assert_array_equal(layer.data[others], before[others])
    controller.history.undo()
    np.testing.assert_array_equal(layer.data, before)


def test_shift_drag_draws_a_box_and_control_click_removes(correct, hand):
    hand.drag((70, 30), (110, 70), SHIFT)
    assert correct.correction.state.prompt.box.row1 == 110
    assert correct.correction.mask[DISC]
    hand.click((90, 40), held=CONTROL)
    assert not correct.correction.clicks[0].positive


def test_keys_on_the_canvas_work_whichever_layer_is_active(correct, hand, qtbot):
    viewer = correct.viewer()
    earlier: list[str] = []
    correct.start_button.setChecked(False)
    viewer.bind_key("N", lambda _: earlier.append("mine"))
    correct.start_button.setChecked(True)
    hand.click(DISC)
    hand.click((90, 40), RIGHT)
    hand.press(Qt.Key.Key_U)
    assert len(correct.correction.clicks) == 1
    hand.press(Qt.Key.Key_R)
    assert len(correct.correction.clicks) == 2
    hand.press(Qt.Key.Key_Return)
    wait_until_processed(correct, qtbot)
    made = correct.target_layer()
    assert set(np.unique(made.data)) == {0, 1}
    viewer.layers.selection.active = made  # Labels have uses of their own for Enter and Escape
    hand.click(OTHER_DISC)
    hand.press(Qt.Key.Key_Return)
    wait_until_processed(correct, qtbot)
    assert set(np.unique(made.data)) == {0, 1, 2}
    hand.click(DISC)
    assert correct.correction.label == 1
    hand.press(Qt.Key.Key_Escape)
    assert correct.correction.state is None
    hand.press(Qt.Key.Key_N)
    wait_until_processed(correct, qtbot)
    assert correct.correction.state is not None
    assert not earlier
    correct.start_button.setChecked(False)
    hand.press(Qt.Key.Key_N)
    assert earlier == ["mine"]
    assert not made.keymap


def test_drags_move_the_image_and_a_brush_only_paints(correct, hand, qtbot):
    viewer = correct.viewer()
    before = camera_of(viewer).center
    hand.drag((60, 40), (70, 80))
    qtbot.waitUntil(lambda: not np.allclose(camera_of(viewer).center, before))
    assert correct.correction.state is None
    viewer.reset_view()
    labels = correct.controller.apply()
    viewer.layers.selection.active = labels
    labels.mode, labels.selected_label = "paint", 50
    hand.click(DISC)
    assert labels.data[DISC] == 50
    assert correct.correction.state is None
    labels.mode = "pan_zoom"
    hand.click((60, 80))
    assert correct.correction.state is not None


def test_clicks_beside_the_segmented_plane_are_explained(panels, qtbot, monkeypatch):
    monkeypatch.setattr(bank, "decode_prompts", decode_once)
    viewer = panels.viewer
    viewer.layers.clear()
    stack = viewer.add_image(np.stack([discs()] * 3), name="stack")
    viewer.dims.set_current_step(0, 1)
    panels.segment.image_form.layer_box.setCurrentText("stack")
    panels.segment.run_button.click()
    wait_until_idle(panels, qtbot)
    panel = CorrectPanel(viewer)
    viewer.window.add_dock_widget(panel)
    panel.start_button.setChecked(True)
    viewer.dims.set_current_step(0, 2)
    hand = Hand(viewer, stack, qtbot)
    hand.click((2, *DISC))
    assert "of plane 1: go there" in panel.message.text()
    viewer.dims.ndisplay = 3
    hand.click((2, *DISC))
    assert "Switch the viewer to 2D" in panel.message.text()
    assert panel.correction.state is None
    viewer.dims.ndisplay = 2
    viewer.dims.set_current_step(0, 1)
    hand.click((1, *DISC))
    wait_until_processed(panel, qtbot)
    assert panel.correction.mask[DISC]


def test_an_adaptation_is_saved_and_loaded(correct, hand, qtbot, tmp_path):
    form = correct.learn_form
    hand.click(DISC)
    hand.press(Qt.Key.Key_Return)
    wait_until_processed(correct, qtbot)
    assert form.state.text() == "Learned from 1 object."
    learned = correct.correction.adaptation.delta
    type_into_dialog(tmp_path / "mine")
    form.save_button.click()
    assert "Saved as mine.safetensors" in form.state.text()
    form.reset_button.click()
    form.adapted_box.setChecked(False)
    type_into_dialog(tmp_path / "mine.safetensors")
    form.load_button.click()
    assert correct.correction.adaptation.delta.digest() == learned.digest()
    assert form.adapted_box.isChecked()
    assert form.state.text() == "Learned from 1 object earlier."
    (tmp_path / "other.safetensors").write_bytes(b"no tensors")
    type_into_dialog(tmp_path / "other.safetensors")
    form.load_button.click()
    assert "no readable adapter" in form.state.text()
    assert correct.correction.adaptation.delta.digest() == learned.digest()


def test_the_least_certain_object_comes_first(correct, qtbot):
    selection = correct.correction.result.selection
    doubt = selection.predicted_iou * selection.stability
    correct.next_button.click()
    wait_until_processed(correct, qtbot)
    mask = correct.correction.result.bank.masks.dense(int(selection.ids[doubt.argmin()]))
    np.testing.assert_array_equal(correct.correction.mask, mask)


def test_the_image_is_segmented_again_with_the_adapted_decoder(
    correct, hand, qtbot, segmented, tmp_path
):
    controller = correct.controller
    first = controller.session.result
    hand.click(DISC)
    correct.accept()
    wait_until_processed(correct, qtbot)
    learned = correct.correction.adaptation
    correct.learn_form.save(tmp_path / "learned.safetensors")
    correct.learn_form.find_all()
    wait_until_idle(segmented, qtbot)
    again = controller.session.result
    assert again.bank is not first.bank
    assert again.model is learned.model
    assert correct.correction.result is again
    assert correct.correction.adaptation is learned
    correct.learn_form.reset()
    correct.learn_form.load(tmp_path / "learned.safetensors")
    assert correct.correction.adaptation.delta.digest() == learned.delta.digest()


def test_without_a_result_the_panel_shows_the_next_step(panels):
    panel = CorrectPanel(panels.viewer)
    panels.viewer.window.add_dock_widget(panel)
    assert "Segment" in panel.message.text()
    assert not panel.start_button.isEnabled()
    assert panel.layer_box.currentText() == ObjectsOnShow.name


def test_tasks_run_in_order_and_newer_ones_replace_waiting_ones_of_their_kind(qtbot):
    task_queue, seen = TaskQueue(), []
    for k in range(3):
        task_queue.add(lambda k=k: k, seen.append)
    task_queue.add(lambda: "old", seen.append, "kind")
    task_queue.add(lambda: "new", seen.append, "kind")
    qtbot.waitUntil(lambda: not task_queue.busy)
    assert seen == [0, 1, 2, "new"]


def test_clicks_on_an_unfinished_object_are_restored_in_a_new_session(
    correct, hand, qtbot, segmented, monkeypatch, tmp_path
):
    monkeypatch.setenv("SAMSTAR_CACHE", str(tmp_path))
    hand.click(DISC)
    hand.click((90, 40), RIGHT)
    mask, clicks = correct.correction.mask, correct.correction.clicks
    correct.correction.learning = False
    correct.start_button.setChecked(False)  # as hiding the panel does
    assert correct.correction.state is None
    assert "2 clicks" in correct.unfinished_row.text.text()
    EXECUTOR.submit(int).result()

    correct.correction.open(None)  # as in a new session
    correct.correction.open(correct.controller.session.result)
    assert not correct.unfinished_row.isHidden()
    correct.unfinished_row.button.click()
    wait_until_processed(correct, qtbot)
    assert correct.correction.clicks == clicks
    np.testing.assert_array_equal(correct.correction.mask, mask)
    assert correct.unfinished_row.isHidden()
    correct.skip()
    EXECUTOR.submit(int).result()
    assert unfinished.load(correct.controller.session.result.image.key) is None
    assert correct.unfinished_row.isHidden()
