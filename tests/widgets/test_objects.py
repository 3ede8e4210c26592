"""Objects on show are objects: they are corrected, deleted, merged, split, locked, undone."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.edits import Edits
from napari_samstar.core.models.encoder import EmbeddingCache
from napari_samstar.core.progress import run
from napari_samstar.core.results.recipe import Recipe
from napari_samstar.core.results.result import restore_edits, segment_bank
from napari_samstar.widgets.panels.correct.panel import CorrectPanel
from napari_samstar.widgets.viewer.layer_writer import OUTLINE_NAME, PREVIEW_NAME, RECIPE_KEY
from tests.widgets.hand import RIGHT, Hand
from tests.widgets.test_correct import wait_until_processed


@pytest.fixture
def correct(segmented: Any) -> CorrectPanel:
    panel = CorrectPanel(segmented.viewer)
    segmented.viewer.window.add_dock_widget(panel)
    panel.start_button.setChecked(True)
    panel.learn_form.learn_box.setChecked(False)
    return panel


@pytest.fixture
def hand(correct: CorrectPanel, qtbot: Any) -> Hand:
    viewer = correct.viewer()

    class PatientHand(Hand):
        def click(self, *args: Any, **more: Any) -> None:
            super().click(*args, **more)
            wait_until_processed(correct, qtbot)

        def drag(self, *args: Any, **more: Any) -> None:
            super().drag(*args, **more)
            wait_until_processed(correct, qtbot)

    return PatientHand(viewer, viewer.layers["discs"], qtbot)


def shown(panel: CorrectPanel) -> np.ndarray:
    return np.array(panel.viewer().layers[PREVIEW_NAME].data)


def objects_of(labels: np.ndarray) -> set[bytes]:
    """The masks of a label image, whatever their numbers."""
    return {np.packbits(labels == k).tobytes() for k in np.unique(labels) if k}


def inside(labels: np.ndarray, label: int) -> tuple[int, int]:
    """A pixel well inside an object."""
    from scipy.ndimage import distance_transform_edt

    deep = distance_transform_edt(labels == label)
    row, col = np.unravel_index(int(deep.argmax()), deep.shape)
    return int(row), int(col)


def test_correcting_a_previewed_object_leaves_the_others_on_show(correct, hand):
    before = shown(correct)
    label = int(before[90, 50])
    hand.click((90, 50))
    assert correct.correction.label == label
    hand.click((90, 40), RIGHT)
    hand.press(Qt.Key.Key_Return)
    after = shown(correct)
    assert correct.target_layer() is None
    assert len(objects_of(after)) == len(objects_of(before))
    assert objects_of(before) - objects_of(after) == {np.packbits(before == label).tobytes()}


def test_what_is_shown_is_what_apply_writes_and_what_the_recipe_repeats(correct, hand):
    controller = correct.controller
    labels = shown(correct)
    hand.click(inside(labels, 1))
    hand.press(Qt.Key.Key_Delete)
    hand.click(inside(shown(correct), 1))
    correct.lock_button.click()
    edited = shown(correct)
    recipe = Recipe.from_dict(json.loads(json.dumps(controller.session.recipe().to_dict())))
    layer = controller.apply()
    np.testing.assert_array_equal(layer.data, edited)
    assert Recipe.from_dict(layer.metadata[RECIPE_KEY]) == recipe
    result = controller.session.result
    bank = ProposalBank(result.image, result.model, EmbeddingCache())
    edits = restore_edits(recipe, bank.image, bank.masks)
    np.testing.assert_array_equal(run(segment_bank(bank, recipe.config, edits)).labels, edited)


@pytest.mark.parametrize("selects", [True, False], ids=["the selected one", "under the mouse"])
def test_delete_removes_an_object_and_undo_returns_the_same_bits(correct, hand, selects):
    before = shown(correct)
    at = inside(before, 1)
    hand.click(at)
    if not selects:
        hand.press(Qt.Key.Key_Escape)
    hand.press(Qt.Key.Key_Delete)
    assert objects_of(before) - objects_of(shown(correct)) == {np.packbits(before == 1).tobytes()}
    assert correct.correction.state is None
    deleted = shown(correct)
    hand.press(Qt.Key.Key_U)
    np.testing.assert_array_equal(shown(correct), before)
    hand.press(Qt.Key.Key_R)
    np.testing.assert_array_equal(shown(correct), deleted)


def test_two_objects_are_merged_and_one_is_split_again(correct, hand):
    before = shown(correct)
    assert before.max() >= 2
    one, other = (inside(before, k) for k in (1, 2))
    hand.click(one)
    hand.press(Qt.Key.Key_M)
    assert "Merge" in correct.message.text()
    hand.click(other)
    merged = shown(correct)
    assert merged[one] == merged[other] != 0
    assert len(objects_of(merged)) == len(objects_of(before)) - 1
    hand.click(one)
    hand.press(Qt.Key.Key_S)
    hand.click(one)
    hand.click(other)
    split = shown(correct)
    assert 0 != split[one] != split[other] != 0
    correct.controller.history.undo()
    np.testing.assert_array_equal(shown(correct), merged)
    correct.controller.history.undo()
    np.testing.assert_array_equal(shown(correct), before)


def test_a_line_across_an_object_splits_it_and_one_beside_it_is_refused(correct, hand):
    before = shown(correct)
    row, col = inside(before, 1)
    hand.click((row, col))
    correct.split_button.click()
    hand.drag((row - 3, 2), (row - 3, 2 + 6))
    assert "does not cut" in correct.message.text()
    rows = np.flatnonzero((before == 1)[:, col])
    top, bottom = max(int(rows[0]) - 4, 0), min(int(rows[-1]) + 4, len(before) - 1)
    hand.drag((top, col), (bottom, col))
    after = shown(correct)
    assert len(objects_of(after)) == len(objects_of(before)) + 1
    np.testing.assert_array_equal(after > 0, before > 0)


def test_a_locked_object_stays_when_settings_change(correct, hand):
    controller = correct.controller
    before = shown(correct)
    mask = before == 1
    hand.click(inside(before, 1))
    hand.press(Qt.Key.Key_L)
    config = controller.session.config
    controller.session.show(config.replace(pred_iou_thresh=1.0, stability_score_thresh=1.0))
    assert len(controller.session.selection) == 0
    np.testing.assert_array_equal(shown(correct) > 0, mask)


def test_a_right_click_beside_objects_makes_nothing(correct, hand):
    empty = tuple(int(v) for v in np.argwhere(shown(correct) == 0)[0] + 3)
    hand.click(empty, RIGHT)
    assert correct.correction.state is None
    assert "click on one first" in correct.message.text()


def test_clicks_are_marked_until_the_object_is_accepted(correct, hand):
    hand.click((90, 50))
    hand.click((90, 40), RIGHT)
    outline = correct.viewer().layers[OUTLINE_NAME]
    assert outline.data[90, 40] == 3
    correct.accept()
    assert correct.controller.layers.visible_layer(OUTLINE_NAME) is None


def test_the_objects_of_a_layer_are_edited_likewise_and_its_recipe_knows(correct, hand):
    layer = correct.controller.apply()
    assert correct.target_layer() is layer
    before = np.array(layer.data)
    hand.click(inside(before, 1))
    hand.press(Qt.Key.Key_Delete)
    assert not (layer.data == 1).any()
    assert len(layer.metadata[RECIPE_KEY]["dropped"]) == 1
    assert correct.controller.session.edits == Edits()
    hand.press(Qt.Key.Key_U)
    np.testing.assert_array_equal(layer.data, before)
    assert not layer.metadata[RECIPE_KEY]["dropped"]


def test_the_view_zooms_to_the_object(correct, hand):
    from tests.widgets.hand import camera_of

    hand.click((30, 30))
    before = camera_of(correct.viewer()).zoom
    hand.press(Qt.Key.Key_Z)
    assert camera_of(correct.viewer()).zoom > before
    np.testing.assert_allclose(camera_of(correct.viewer()).center[-2:], (15, 15), atol=1)


def test_objects_keep_their_colours_when_settings_change(correct):
    controller = correct.controller
    layer = correct.viewer().layers[PREVIEW_NAME]

    def colours() -> dict[int, tuple[float, ...]]:
        keys = controller.painting().keys.tolist()
        return {key: tuple(layer.colormap.map(k)) for k, key in enumerate(keys, start=1)}

    before = colours()
    kept = sorted(controller.session.selection.predicted_iou)[1]
    controller.session.show(controller.session.config.replace(pred_iou_thresh=float(kept)))
    after = colours()
    assert 0 < len(after) < len(before)
    assert all(before[key] == colour for key, colour in after.items())


def test_edits_survive_a_crash_before_they_are_applied(correct, hand, qtbot, monkeypatch, tmp_path):
    from napari_samstar.core.results import autosave

    monkeypatch.setenv("SAMSTAR_CACHE", str(tmp_path))
    controller = correct.controller
    hand.click(inside(shown(correct), 1))
    hand.press(Qt.Key.Key_Delete)
    controller.autosave.save()
    image = correct.viewer().layers["discs"]
    key = controller.autosave._images[image]

    def saved() -> list[Any]:
        return [x for s in autosave.find(key) for x in s.layers if "edited" in x.name]

    qtbot.waitUntil(lambda: bool(saved()))
    loaded = autosave.load(saved()[0])
    np.testing.assert_array_equal(loaded.labels, shown(correct))
    assert len(loaded.recipe["dropped"]) == 1
    controller.apply()
    qtbot.waitUntil(lambda: not saved())


def test_edits_in_a_large_image_are_shown_and_saved_too(correct, hand, qtbot, monkeypatch):
    from napari_samstar.core.image.micrograph import Micrograph

    before = shown(correct)
    hand.click(inside(before, 1))
    # From now on the objects are selected and painted on another thread
    monkeypatch.setattr(Micrograph, "is_large", property(lambda _: True))
    hand.press(Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: not (shown(correct)[before == 1]).any())
    controller = correct.controller
    preview = controller.layers.preview_layer
    assert len(controller.autosave._edited[preview][1]["dropped"]) == 1
