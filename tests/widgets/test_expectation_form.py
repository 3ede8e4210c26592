"""Expectations: typed, measured on the canvas, or marked in a layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_samstar.core.errors import UserError
from napari_samstar.core.rewards.expectations import EXPECTED
from napari_samstar.core.rewards.presets import PRESETS
from napari_samstar.widgets.forms.examples import Examples
from napari_samstar.widgets.forms.goal_form import CUSTOM
from napari_samstar.widgets.viewer.layers import Placement
from tests.widgets.hand import Hand
from tests.widgets.waiting import wait_for_jobs


def test_presets_set_the_weights_and_a_changed_weight_is_custom(panels: Any) -> None:
    form = panels.tune.goal_form
    for name, preset in PRESETS.items():
        at = form.preset_box.findData(name)
        form.preset_box.setCurrentIndex(at)
        form.preset_box.activated.emit(at)
        shown = {n: w for n, w in form.goal().weights.items() if w > 0}
        assert shown == preset.weights
        assert panels.tune.controller.session.goal.weights == form.goal().weights
        assert form.preset_box.currentData() == name
    slider = next(iter(form.weights.values()))
    slider.setValue(2.7)
    assert form.preset_box.currentText() == CUSTOM


def test_sizes_are_typed_measured_and_marked(segmented: Any, qtbot: Any) -> None:
    form = segmented.tune.expectation_form
    assert set(form.fields) == set(EXPECTED)
    assert form.expectations().to_dict() == {"unit": "nm"}
    form.fields["count"].setText("4")
    form.fields["small"].textEdited.emit("")
    form.measure_button.setChecked(True)
    image = segmented.viewer.layers["discs"]
    hand = Hand(segmented.viewer, image, qtbot)
    for spot in ((30, 16), (30, 44)):
        hand.click(spot)
    assert not form.measure_button.isChecked()
    known = form.expectations().to_dict()
    assert known == {"count": 4, "small": pytest.approx(14, abs=0.3), "unit": "nm"}
    assert float(form.fields["small"].text()) == known["small"]
    form.fields["large"].setText("3")
    with pytest.raises(UserError, match="swap"):
        form.expectations()

    truth = np.zeros((128, 160), dtype=np.int32)
    truth[20:40, 20:40] = 1
    segmented.viewer.add_labels(truth, name="some true ones", scale=(0.5, 0.5), units=("nm", "nm"))
    form.mark_boxes["annotations"].setCurrentText("some true ones")
    np.testing.assert_array_equal(form.marks().annotations, truth)
    assert form.marks().examples is None
    segmented.tune.run_button.click()
    assert "swap" in segmented.tune.message.text()


def test_the_smallest_region_is_shown_in_the_unit_of_the_image(segmented: Any) -> None:
    form = segmented.segment.settings
    row = form.rows["min_mask_region_area"]
    label = form._form.labelForField(row.native)
    assert label.text() == "Smallest region"
    row.value = 50
    assert label.text().split() == ["Smallest", "region,", "12.5", "nm²"]
    form.show_pixel(None, "px")
    assert label.text() == "Smallest region"


def test_a_reward_with_missing_inputs_shows_an_error(segmented: Any, qtbot: Any) -> None:
    segmented.tune.goal_form.weights["count"].setValue(1)
    segmented.tune.budget_box.setValue(32)
    jobs = segmented.tune.controller.jobs
    segmented.tune.run_button.click()
    qtbot.waitUntil(lambda: "needs" in segmented.tune.message.text())
    wait_for_jobs(jobs, qtbot)
    segmented.tune.expectation_form.fields["count"].setText("4")
    segmented.tune.run_button.click()
    wait_for_jobs(jobs, qtbot)
    session = segmented.tune.controller.session
    assert len(session.trials) == 32, segmented.tune.message.text()
    assert session.recipe() is not None


def test_the_search_finds_objects_like_good_examples(segmented: Any, qtbot: Any) -> None:
    tune, controller = segmented.tune, segmented.tune.controller
    preset = tune.goal_form.preset_box
    likeness = segmented.segment.settings.rows["min_likeness"].native
    assert preset.currentData() == "balanced"
    assert likeness.isHidden()
    layer = controller.apply()
    at = Placement.of(segmented.viewer.layers["discs"], ())
    examples = Examples(segmented.viewer, controller.history)
    examples.toggle(at, layer.data == 1)
    assert tune.expectation_form.marks().examples is not None
    assert preset.currentData() == "like_examples"
    assert controller.session.goal.weights["shape_prior"] > 0
    tune.budget_box.setValue(32)
    tune.run_button.click()
    wait_for_jobs(controller.jobs, qtbot)
    found = controller.session.trials
    assert len(found) == 32, tune.message.text()
    assert len({e.config.min_likeness for e in found}) > 5
    controller.session.choose(controller.session.front.best)
    assert controller.session.config.examples
    assert not likeness.isHidden()
    examples.toggle(at, layer.data == 1)
    assert tune.expectation_form.marks().examples is None
    assert preset.currentData() == "balanced"
    tune.goal_form.weights["contrast"].setValue(2.5)
    examples.toggle(at, layer.data == 1)
    assert preset.currentText() == CUSTOM, "custom weights are kept"
