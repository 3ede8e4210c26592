"""The Results panel: table and canvas, exports, recipes, stacks, good examples."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from qtpy.QtCore import Qt
from roifile import roiread

from napari_samstar.core.amg import bank
from napari_samstar.core.masks.outlines import rim
from napari_samstar.core.results.recipe import Recipe
from napari_samstar.widgets.panels.results.exports import EXPORTS
from napari_samstar.widgets.panels.results.panel import ResultsPanel
from napari_samstar.widgets.viewer.layer_writer import OUTLINE_NAME, OUTLINE_WIDTH
from tests.widgets.conftest import decode_once, discs, type_into_dialog
from tests.widgets.hand import Hand, camera_of
from tests.widgets.waiting import wait_for_jobs


@pytest.fixture
def results(make_napari_viewer: Any, qtbot: Any) -> ResultsPanel:
    viewer = make_napari_viewer(show=True)
    labels = np.zeros((60, 80), dtype=np.int32)
    labels[5:15, 5:15], labels[30:50, 30:60], labels[20:24, 60:64] = 1, 2, 4
    viewer.add_labels(labels, name="mine", scale=(0.5, 0.5), units=("nm", "nm"))
    panel = ResultsPanel(viewer)
    viewer.window.add_dock_widget(panel)
    qtbot.waitUntil(lambda: panel.model.rowCount() == 3)
    return panel


def test_a_row_selects_its_object_and_a_click_on_an_object_its_row(
    results: ResultsPanel, qtbot: Any
) -> None:
    viewer, layer = results.viewer(), results.layer()
    assert "3 objects" in results.summary.text()
    assert "nm" in results.summary.text()
    assert float(np.sum(results.histogram.bars.opts["height"])) == 3
    results.view.sortByColumn(
        list(results.model.table).index("diameter_nm"), Qt.SortOrder.DescendingOrder
    )
    results.view.selectRow(0)
    assert layer.selected_label == 2
    assert (viewer.layers[OUTLINE_NAME].data == rim(layer.data == 2, OUTLINE_WIDTH)).all()
    np.testing.assert_allclose(camera_of(viewer).center[-2:], (39.5 / 2, 44.5 / 2))
    hand = Hand(viewer, layer, qtbot)
    hand.click((22, 62))
    assert results.model.label(results.view.currentIndex().row()) == 4
    results.view.sortByColumn(0, Qt.SortOrder.AscendingOrder)
    assert results.model.label(results.view.currentIndex().row()) == 4, "sorting keeps the row"
    assert layer.selected_label == 4
    assert OUTLINE_NAME in viewer.layers
    hand.click((55, 5))
    assert results.controller.layers.visible_layer(OUTLINE_NAME) is None, (
        "a click beside all objects"
    )


def test_an_edited_layer_is_measured_again(results: ResultsPanel, qtbot: Any) -> None:
    layer = results.layer()
    layer.data[20:24, 60:64] = 0
    layer.events.data(value=layer.data)
    qtbot.waitUntil(lambda: results.model.rowCount() == 2)
    layer.data_setitem((np.array([0, 0]), np.array([70, 71])), 9)
    layer.events.paint(value=[])
    qtbot.waitUntil(lambda: results.model.row_of(9) is not None)


def test_every_exported_file_contains_the_objects(
    results: ResultsPanel, tmp_path: Any, qtbot: Any
) -> None:
    for act in results.export_button.menu().actions():
        type_into_dialog(tmp_path / "o")
        act.trigger()
        name = f"o.{EXPORTS[act.text()]}"
        qtbot.waitUntil(lambda name=name: name in results.message.text())
    assert pd.read_csv(tmp_path / "o.csv")["label"].tolist() == [1, 2, 4]
    with tifffile.TiffFile(tmp_path / "o.tif") as file:
        np.testing.assert_array_equal(file.asarray(), results.layer().data)
    assert len(json.loads((tmp_path / "o.json").read_text())["annotations"]) == 3
    assert len(roiread(tmp_path / "o.zip")) == 3
    assert not results.recipe_button.isEnabled(), "these labels came from elsewhere"
    results.export(tmp_path / "o.samstar.json")
    qtbot.waitUntil(lambda: "not a recipe" in results.message.text())


def test_a_stack_has_a_column_for_the_plane(results: ResultsPanel, qtbot: Any) -> None:
    stack = np.zeros((3, 40, 50), dtype=np.int32)
    stack[0, 3:9, 3:9], stack[2, 20:30, 20:30] = 1, 2
    viewer = results.viewer()
    viewer.add_labels(
        stack, name="a rather long name of a stack that goes on and on", scale=(4, 1, 1)
    )
    qtbot.waitUntil(lambda: "plane" in results.model.table)
    results.choose(2, move_to=True)
    assert viewer.dims.current_step[0] == 2
    assert viewer.layers[OUTLINE_NAME].data.shape == (1, 40, 50)
    np.testing.assert_allclose(viewer.layers[OUTLINE_NAME].translate, (8, 0, 0))
    viewer.layers.clear()
    assert "No Labels layer yet" in results.summary.text()


def test_a_saved_recipe_is_loaded_when_dropped_on_napari(
    segmented: Any, tmp_path: Any, qtbot: Any
) -> None:
    segmented.segment.image_form.invert_box.setChecked(True)
    segmented.segment.run_button.click()
    jobs = segmented.segment.controller.jobs
    wait_for_jobs(jobs, qtbot)
    session = segmented.segment.controller.session
    session.show(session.config.replace(pred_iou_thresh=0.41, stability_score_thresh=0.2))
    segmented.segment.apply_button.click()
    results = ResultsPanel(segmented.viewer)
    segmented.viewer.window.add_dock_widget(results)
    path = tmp_path / "particles.samstar.json"
    type_into_dialog(tmp_path / "particles")
    results.recipe_button.click()
    qtbot.waitUntil(lambda: path.exists())
    assert Recipe.load(path).config == session.config

    segmented.segment.image_form.invert_box.setChecked(False)
    session.show(session.config.replace(pred_iou_thresh=0.9))
    before = list(segmented.viewer.layers)
    segmented.viewer.open(str(path), plugin=None)  # as a drop does
    assert list(segmented.viewer.layers) == before
    assert session.config.pred_iou_thresh == 0.41
    assert segmented.segment.settings.rows["pred_iou_thresh"].value == 0.41
    assert segmented.segment.image_form.invert_box.isChecked()
    assert segmented.segment.image_form.mapping() == session.loaded.mapping.replace(plane=None)
    assert "loaded" in segmented.segment.message.text()


def test_all_planes_become_one_layer_and_stop_keeps_finished_planes(
    panels: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    panels.viewer.layers.clear()
    stack = np.stack([discs(), np.full_like(discs(), 7), discs()[::-1], discs()])
    panels.viewer.add_image(stack, name="stack", scale=(2, 0.5, 0.5), units=("nm",) * 3)
    segment, jobs = panels.segment, panels.segment.controller.jobs
    assert not segment.stack_row.isHidden()
    segment.link_box.setCurrentText("Do not link")
    panels.viewer.dims.set_current_step(0, 0)
    monkeypatch.setattr(bank, "decode_prompts", decode_once)
    segment.run_button.click()
    wait_for_jobs(jobs, qtbot)
    segment.stack_button.click()
    qtbot.waitUntil(lambda: "stack objects" in panels.viewer.layers)
    layer = panels.viewer.layers["stack objects"]
    wait_for_jobs(jobs, qtbot)
    assert layer.data.shape == stack.shape
    np.testing.assert_array_equal(layer.data[0], segment.controller.session.result.labels)
    assert not layer.data[1].any(), "a constant plane has no objects"
    assert layer.data[2].max() > layer.data[0].max()
    assert set(np.unique(layer.data[3])) & set(np.unique(layer.data[0])) == {0}
    np.testing.assert_allclose(layer.translate, (0, 0, 0))

    monkeypatch.undo()  # so that a plane takes seconds
    segment.stack_button.click()
    qtbot.waitUntil(lambda: "stack objects [1]" in panels.viewer.layers)
    jobs.stop()
    qtbot.waitUntil(lambda: jobs._running is None)
    assert panels.viewer.layers["stack objects [1]"].data[0].any()
    segment.controller.history.undo()
    assert "stack objects [1]" not in panels.viewer.layers


@pytest.mark.parametrize(("text", "column"), [("depth", "volume_nm3"), ("time", "path_nm")])
def test_objects_of_a_stack_have_one_id_and_one_row_each(
    panels: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch, text: str, column: str
) -> None:
    panels.viewer.layers.clear()
    stack = np.stack([discs(), discs(), discs()])
    panels.viewer.add_image(stack, name="stack", scale=(2, 0.5, 0.5), units=("nm",) * 3)
    segment, controller = panels.segment, panels.segment.controller
    monkeypatch.setattr(bank, "decode_prompts", decode_once)
    segment.run_button.click()
    wait_for_jobs(controller.jobs, qtbot)
    segment.link_box.setCurrentText(f"Link in {text}")
    segment.stack_button.click()
    wait_for_jobs(controller.jobs, qtbot)
    layer = panels.viewer.layers["stack objects"]
    assert layer.data[0].any()
    for plane in layer.data[1:]:
        np.testing.assert_array_equal(plane, layer.data[0])
    controller.measure(layer)
    qtbot.waitUntil(lambda: column in layer.features)
    assert layer.features["index"].tolist() == np.unique(layer.data)[1:].tolist()


def test_objects_are_marked_and_unmarked_as_good_examples(results: ResultsPanel) -> None:
    viewer, layer, row = results.viewer(), results.layer(), results.examples
    history = results.controller.history
    assert not row.button.isEnabled(), "no object is on show"
    for n, label in enumerate((2, 4), start=1):
        results.choose(label)
        assert row.button.isEnabled()
        assert not row.button.isChecked()
        row.button.click()
        assert row.button.isChecked()
        assert f"{n} example" in row.note.text()
    made = viewer.layers["good examples"]
    np.testing.assert_array_equal(made.data > 0, np.isin(layer.data, (2, 4)))
    assert len(np.unique(made.data)) == 3, "one label each"
    np.testing.assert_array_equal(made.scale, layer.scale)
    assert results.layer() is layer, "the table stays with the result"
    row.button.click()
    np.testing.assert_array_equal(made.data > 0, layer.data == 2)
    history.undo()
    np.testing.assert_array_equal(made.data > 0, np.isin(layer.data, (2, 4)))
    history.undo()
    history.undo()
    assert made not in viewer.layers
    assert not row.note.text()
    history.redo()
    assert made in viewer.layers


def test_an_example_in_a_stack_is_a_layer_of_its_plane(make_napari_viewer: Any, qtbot: Any) -> None:
    viewer = make_napari_viewer(show=True)
    stack = np.zeros((3, 40, 50), dtype=np.int32)
    stack[0, 5:15, 5:15], stack[2, 20:30, 20:40] = 1, 2
    viewer.add_labels(stack, name="mine", scale=(2, 1, 1), translate=(0, 3, 3))
    panel = ResultsPanel(viewer)
    viewer.window.add_dock_widget(panel)
    qtbot.waitUntil(lambda: panel.model.rowCount() == 2)
    for label, plane in ((1, 0), (2, 2)):
        panel.choose(label)
        panel.examples.button.click()
        made = viewer.layers[-1] if plane == 0 else viewer.layers["good examples [1]"]
        assert made.data.shape == (1, 40, 50)
        np.testing.assert_array_equal(made.translate, (2 * plane, 3, 3))
        np.testing.assert_array_equal(made.data[0] > 0, stack[plane] == label)


def test_images_of_different_sizes_have_their_own_examples(
    results: ResultsPanel, qtbot: Any
) -> None:
    viewer = results.viewer()
    results.choose(2)
    results.examples.button.click()
    larger = np.zeros((90, 100), dtype=np.int32)
    larger[5:15, 5:25] = 1
    viewer.add_labels(larger, name="larger", scale=(0.5, 0.5), units=("nm", "nm"))
    qtbot.waitUntil(lambda: results.model.rowCount() == 1)
    results.choose(1)
    assert not results.examples.button.isChecked()
    results.examples.button.click()
    assert viewer.layers["good examples [1]"].data.shape == (90, 100)
    assert results.layer().name == "larger"
