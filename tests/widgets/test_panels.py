"""The Segment, Tune and Pareto front panels in a viewer, with the bundled model."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import Qt

from napari_samstar.api.pipeline import iter_segment
from napari_samstar.core.amg.bank import ProposalBank
from napari_samstar.core.amg.config import AmgConfig
from napari_samstar.core.image.loaded import LoadedImage
from napari_samstar.core.image.micrograph import Micrograph
from napari_samstar.core.image.shown import inverted
from napari_samstar.core.models.encoder import EmbeddingCache
from napari_samstar.core.models.loading import load
from napari_samstar.core.models.registry import ModelChoice
from napari_samstar.core.progress import run
from napari_samstar.core.results.recipe import Recipe, make_recipe
from napari_samstar.core.results.result import segment_bank
from napari_samstar.widgets.viewer.layer_writer import PREVIEW_NAME, RECIPE_KEY
from tests.widgets.conftest import GRID, discs
from tests.widgets.waiting import wait_for_jobs, wait_until_idle


def _labels(viewer: Any, name: str) -> Labels:
    layer = viewer.layers[name]
    assert isinstance(layer, Labels)
    return layer


def _tune(panels: Any, qtbot: Any, trials: int = 64) -> None:
    panels.tune.budget_box.setValue(trials)
    panels.tune.run_button.click()
    wait_until_idle(panels, qtbot)
    assert len(panels.tune.controller.session.trials) == trials, panels.tune.message.text()


def test_segment_previews_the_objects(segmented: Any) -> None:
    preview = _labels(segmented.viewer, PREVIEW_NAME)
    selection = segmented.segment.controller.session.selection
    assert len(selection) > 0
    assert preview.data.shape == (128, 160)
    np.testing.assert_allclose(preview.scale, (0.5, 0.5))
    assert [str(u) for u in preview.units] == ["nanometer", "nanometer"]
    assert f"{len(selection)} objects" in segmented.segment.message.text()


def test_a_threshold_slider_updates_the_selection_without_decoding(segmented: Any) -> None:
    session = segmented.segment.controller.session
    before = len(session.selection)
    rows = segmented.segment.settings.rows
    rows["pred_iou_thresh"].value = 0.9
    assert session.selection.config.pred_iou_thresh == 0.9
    for name, value in (("pred_iou_thresh", 1.0), ("stability_score_thresh", 1.0)):
        rows[name].value = value
    rows["stability_score_offset"].value = 2.0
    assert len(session.selection) == 0 < before
    assert "Lower" in segmented.segment.message.text()
    assert not segmented.segment.apply_button.isEnabled()
    assert not _labels(segmented.viewer, PREVIEW_NAME).data.any()


def test_a_setting_that_needs_decoding_asks_for_segment(segmented: Any) -> None:
    rows = segmented.segment.settings.rows
    rows["points_per_side"].value = rows["points_per_side"].value + 1
    assert "Press Segment" in segmented.segment.message.text()


def test_what_is_shown_to_sam_is_chosen_and_kept(segmented: Any, qtbot: Any) -> None:
    form, session = segmented.segment.settings, segmented.segment.controller.session
    assert form.shown.value == "original"
    assert "Dark becomes bright" in form.shown.tooltip
    before = session.result
    form.shown.value = "inverted"
    assert "Press Segment" in segmented.segment.message.text()
    segmented.segment.run_button.click()
    wait_until_idle(segmented, qtbot)
    assert session.result.bank is before.bank, "what was decoded is kept"
    assert session.result.recipe.config.shown == "inverted"
    assert not np.array_equal(session.result.labels, before.labels)
    other = Micrograph(inverted(before.image.pixels))
    bank = ProposalBank(other, before.model)
    same = run(segment_bank(bank, session.result.config.replace(shown="original")))
    np.testing.assert_array_equal(same.labels, session.result.labels)
    form.shown.value = "original"
    np.testing.assert_array_equal(
        _labels(segmented.viewer, PREVIEW_NAME).data, before.labels
    )  # at once
    form.shown.value = "smoothed"
    form.defaults_button.click()
    assert form.shown.value == "original"


def test_a_wide_search_from_the_panel(segmented: Any, qtbot: Any) -> None:
    tune = segmented.tune
    tune.scope_box.setCurrentIndex(0)
    assert not tune._search_rows.isRowVisible(tune.time_box)
    tune.scope_box.setCurrentText("Wide: prompts, scale, …")
    assert tune._search_rows.isRowVisible(tune.time_box)
    tune.time_box.setValue(5)
    assert re.search("SAM itself will run for up to [1-5] s", tune.message.text())
    _tune(segmented, qtbot, trials=40)
    session = tune.controller.session
    assert session.study_config.scope == "wide"
    assert (session.study_config.seconds, len(session.study_config.factors)) == (5.0, 3)
    assert session.trials[0].origin == "defaults"
    other = next((k for k, e in enumerate(session.trials) if e.config.shown != "original"), None)
    if other is not None:  # as many arms as the machine is quick
        session.choose(other)
        wait_until_idle(segmented, qtbot)
        assert segmented.segment.settings.shown.value == session.trials[other].config.shown


def test_the_bundled_model_is_prompted_at_centres(panels: Any, qtbot: Any) -> None:
    settings = panels.segment.settings
    settings.prompts.value = "centres"
    assert not settings.rows["points_per_side"].enabled
    panels.segment.run_button.click()
    wait_until_idle(panels, qtbot)
    segmented = panels.segment.controller.session.result
    assert segmented.selection.config.prompts == "centres"
    assert 0 < segmented.bank.tables(segmented.selection.config)[0].n_prompts < GRID**2
    assert len(segmented.selection) >= 4


def test_a_model_that_proposes_no_centres_is_prompted_on_a_grid(panels: Any) -> None:
    settings, models = panels.segment.settings, panels.segment.model_form
    settings.prompts.value = "centres"
    models.show_model("vit_b")
    assert settings.config().prompts == "grid"
    assert "centres" not in settings.prompts.choices
    assert {"grid", "classical", "combined"} <= set(settings.prompts.choices)
    for prompts, has_grid in (("grid", True), ("combined", True), ("classical", False)):
        settings.prompts.value = prompts
        assert settings.rows["points_per_side"].enabled == has_grid
    settings.prompts.value = "combined"
    models.show_model("pocket")
    assert settings.config().prompts == "combined"
    assert not settings.rows["points_per_side"].enabled
    settings.prompts.value = "grid"
    models.show_model("vit_b")
    models.show_model("pocket")
    assert settings.config().prompts == "centres"
    panels.segment.controller.load(_recipe_on_a_grid())
    assert settings.config().prompts == "grid"


def _recipe_on_a_grid() -> Any:
    image = Micrograph(np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2))
    return make_recipe(image, load("pocket", "cpu"), AmgConfig(points_per_side=9))


def test_a_search_updates_the_front_and_a_click_previews_a_trial(
    segmented: Any, qtbot: Any
) -> None:
    sizes: list[int] = []
    session = segmented.tune.controller.session
    session.events.trials.connect(lambda new: sizes.append(len(new)))
    _tune(segmented, qtbot)
    assert sizes == sorted(sizes)
    assert len(sizes) > 1, "the front did not grow while the search ran"
    front = session.front
    assert front.defaults == 0
    said = "None is clearly better" in segmented.tune.message.text()
    assert said == (front.best == front.defaults)
    segmented.front.knee_button.click()
    assert session.chosen == front.knee
    spot = segmented.front.plot.members.points()[0]
    segmented.front.plot.members.sigClicked.emit(segmented.front.plot.members, [spot], None)
    assert session.chosen == front.members[0] == spot.data()
    assert len(session.selection) == front.trials[session.chosen].n_masks
    shown = _labels(segmented.viewer, PREVIEW_NAME).data
    assert (shown.max() > 0) == (len(session.selection) > 0)
    assert f"{len(session.selection)} objects" in segmented.front.details.text()


def test_arrow_keys_step_along_the_front(segmented: Any, qtbot: Any) -> None:
    _tune(segmented, qtbot)
    session = segmented.front.controller.session
    members = session.front.members.tolist()
    segmented.front.choose(members[0])
    qtbot.keyClick(segmented.front, Qt.Key.Key_Right)
    assert session.chosen == members[min(1, len(members) - 1)]
    qtbot.keyClick(segmented.front, Qt.Key.Key_Left)
    assert session.chosen == members[0]


def test_changing_a_weight_updates_the_front_without_new_trials(segmented: Any, qtbot: Any) -> None:
    _tune(segmented, qtbot)
    session = segmented.tune.controller.session
    before = session.front
    segmented.tune.goal_form.weights["boundary"].setValue(0)
    segmented.tune.goal_form.weights["confidence"].setValue(1)
    assert session.front is not before
    assert session.front.trials == before.trials
    assert not np.array_equal(session.front.points, before.points)
    for slider in segmented.tune.goal_form.weights.values():
        slider.setValue(0)
    assert "All weights are 0" in segmented.tune.message.text()


def test_apply_adds_a_layer_whose_recipe_repeats_it(segmented: Any, qtbot: Any) -> None:

    _tune(segmented, qtbot)
    segmented.front.best_button.click()
    assert len(segmented.front.controller.session.selection) > 0
    segmented.front.apply_button.click()
    layer = segmented.viewer.layers["discs objects"]
    np.testing.assert_allclose(layer.scale, (0.5, 0.5))
    recipe = Recipe.from_dict(json.loads(json.dumps(layer.metadata[RECIPE_KEY])))
    assert recipe.tuning.rewards["coverage"] > 0
    source = LoadedImage(segmented.viewer.layers["discs"].data, mapping=recipe.mapping)
    choice = ModelChoice(recipe.model, "cpu")
    again = run(iter_segment(source, choice, recipe.config, EmbeddingCache()))
    np.testing.assert_array_equal(again.labels, layer.data)
    qtbot.waitUntil(lambda: len(layer.features) > 0)
    assert len(layer.features) == layer.data.max()
    assert "diameter_nm" in layer.features


def test_apply_never_overwrites(segmented: Any) -> None:
    segmented.segment.apply_button.click()
    first = segmented.viewer.layers["discs objects"]
    first.data[:] = 7
    segmented.segment.apply_button.click()
    assert "discs objects [1]" in segmented.viewer.layers
    assert (first.data == 7).all()


def test_stop_is_immediate_and_keeps_the_trials(segmented: Any, qtbot: Any) -> None:
    session, jobs = segmented.tune.controller.session, segmented.tune.controller.jobs
    segmented.tune.budget_box.setValue(segmented.tune.budget_box.maximum())
    segmented.tune.run_button.click()
    qtbot.waitUntil(lambda: len(session.trials) > 20)
    start = time.process_time()  # not the time: other programs may need the processor
    segmented.tune.job_bar.stop.click()
    assert not jobs.busy
    found = session.trials
    qtbot.waitUntil(lambda: jobs._running is None)
    assert time.process_time() - start < 1
    assert session.trials == found
    assert session.front is not None


def test_closing_panels_during_a_search_does_not_stop_it(segmented: Any, qtbot: Any) -> None:
    session = segmented.tune.controller.session
    segmented.tune.budget_box.setValue(600)
    segmented.tune.run_button.click()
    qtbot.waitUntil(lambda: len(session.trials) > 10)
    viewer, jobs = segmented.viewer, segmented.front.controller.jobs
    viewer.window.remove_dock_widget(segmented.tune)
    segmented.tune.deleteLater()
    viewer.window.remove_dock_widget(segmented.front)
    segmented.front.deleteLater()
    wait_for_jobs(jobs, qtbot)
    assert len(session.trials) == 600


def test_closing_the_viewer_during_a_search_releases_its_results(
    segmented: Any, qtbot: Any
) -> None:
    jobs, session = segmented.tune.controller.jobs, segmented.tune.controller.session
    segmented.tune.budget_box.setValue(segmented.tune.budget_box.maximum())
    segmented.tune.run_button.click()
    qtbot.waitUntil(lambda: len(session.trials) > 10)
    segmented.viewer.close()
    jobs.stop()
    qtbot.waitUntil(lambda: jobs._running is None)
    assert session.result is None, "the bank of a closed viewer is still held"
    assert session.trials == ()


def test_panels_of_one_viewer_share_a_controller_and_two_viewers_do_not(
    panels: Any, make_napari_viewer: Any
) -> None:
    from napari.utils._proxies import PublicOnlyProxy

    from napari_samstar.widgets.viewer.controller import controller_of

    assert panels.segment.controller is panels.front.controller
    assert controller_of(PublicOnlyProxy(panels.viewer)) is panels.tune.controller
    assert controller_of(make_napari_viewer()) is not panels.tune.controller


def test_without_an_image_the_panels_show_the_next_step(panels: Any) -> None:
    panels.viewer.layers.clear()
    assert not panels.segment.run_button.isEnabled()
    assert "Drop an image" in panels.segment.image_form.plane_note.text()
    assert not panels.tune.run_button.isEnabled()
    assert "Segment" in panels.tune.message.text()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (np.full((64, 64), np.nan), "finite"),
        (np.full((64, 64), 3.0), "constant"),
        (np.ones((2, 2)), "larger image"),
    ],
)
def test_an_unusable_image_gives_one_sentence_in_the_panel(
    panels: Any, qtbot: Any, data: np.ndarray, words: str
) -> None:
    panels.viewer.layers.clear()
    panels.viewer.add_image(data, name="bad", contrast_limits=(0, 1))
    with qtbot.waitSignal(panels.segment.run_button.clicked):
        panels.segment.run_button.click()
    qtbot.waitUntil(lambda: "color" in panels.segment.message.text())
    assert words in panels.segment.message.text().lower()


def test_the_plane_on_show_of_a_stack_is_segmented(panels: Any, qtbot: Any) -> None:
    panels.viewer.layers.clear()
    stack = np.stack([np.zeros_like(discs()), discs(), discs()])
    panels.viewer.add_image(stack, name="stack", scale=(2, 0.5, 0.5), units=("nm",) * 3)
    panels.viewer.dims.set_current_step(0, 1)
    assert "Plane 1" in panels.segment.image_form.plane_note.text()
    panels.segment.run_button.click()
    wait_until_idle(panels, qtbot)
    preview = _labels(panels.viewer, PREVIEW_NAME)
    assert preview.data.shape == (1, 128, 160)
    np.testing.assert_allclose(preview.translate, (2, 0, 0))
    assert panels.segment.controller.session.result.image.mapping.plane == (1,)


def test_settings_go_back_to_the_defaults(segmented: Any) -> None:
    form = segmented.segment.settings
    before = segmented.segment.controller.session.config
    assert before.pred_iou_thresh != AmgConfig().pred_iou_thresh
    form.defaults_button.click()
    shown = form.config()
    for name in ("pred_iou_thresh", "stability_score_thresh", "points_per_side"):
        assert getattr(shown, name) == getattr(AmgConfig(), name)
    assert segmented.segment.controller.session.config == shown


def test_a_model_of_micro_sam_brings_its_thresholds(panels: Any) -> None:
    settings, models = panels.segment.settings, panels.segment.model_form
    settings.defaults_button.click()
    before = settings.config()
    _choose_model(models, "vit_b_lm")
    shown = settings.config()
    assert (shown.pred_iou_thresh, shown.stability_score_thresh) == (0.65, 0.7)
    assert panels.segment.controller.session.config.pred_iou_thresh == 0.65
    settings.rows["pred_iou_thresh"].value = 0.5  # the user's own, which stays
    _choose_model(models, "pocket")
    assert settings.config() == before.replace(pred_iou_thresh=0.5)


def _choose_model(models: Any, name: str) -> None:
    box = models.model_box
    box.setCurrentIndex(box.findData(name))
    box.activated.emit(box.currentIndex())
