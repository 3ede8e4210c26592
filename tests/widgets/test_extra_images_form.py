"""Tuning on more planes and images, and checking on held-out ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_samstar.core.amg import bank
from napari_samstar.widgets.forms.extra_images_form import HOLD_OUT, TUNE
from tests.widgets.conftest import decode_once, discs
from tests.widgets.waiting import let_events_run, wait_until_drawn, wait_until_idle


@pytest.fixture
def stack(panels: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The panels after plane 1 of a stack was segmented, beside another image."""
    monkeypatch.setattr(bank, "decode_prompts", decode_once)
    panels.viewer.layers.clear()
    data = np.stack([discs()[::-1], discs(), discs()[:, ::-1], discs()[::-1, ::-1]])
    panels.viewer.add_image(discs().T, name="another", visible=False)
    panels.viewer.add_image(data, name="stack", scale=(2, 0.5, 0.5), units=("nm",) * 3)
    panels.segment.image_form.layer_box.setCurrentText("stack")
    panels.viewer.dims.set_current_step(0, 1)
    panels.segment.run_button.click()
    wait_until_idle(panels, qtbot)
    assert panels.segment.controller.session.result is not None, panels.segment.message.text()
    return panels


def test_a_single_image_has_a_hint_and_no_fields(segmented: Any) -> None:
    form = segmented.tune.extra_images_form
    assert not form.hint.isHidden()
    assert form.tuned_field.isHidden()
    assert form.extra_images() == ()
    assert segmented.tune.held_out.isHidden()


def test_planes_and_images_are_chosen_and_errors_are_shown(stack: Any) -> None:
    form = stack.tune.extra_images_form
    assert not form.tuned_field.isHidden()
    assert list(form.choices) == ["another"]
    form.tuned_field.setText("0-1")
    form.held_field.setText("3")
    form.choices["another"].setCurrentText(HOLD_OUT)
    found = form.extra_images()
    assert [(o.image.name, o.held_out) for o in found] == [
        ("stack, plane 0", False), ("stack, plane 3", True), ("another", True),
    ]  # fmt: skip
    assert found[0].image.prepare().shape == (128, 160)
    assert found[2].image.prepare().shape == (160, 128)
    form.held_field.setText("1")
    stack.tune.run_button.click()
    assert "Plane 1 is tuned on" in stack.tune.message.text()
    form.held_field.setText("9")
    stack.tune.run_button.click()
    assert "no plane 9" in stack.tune.message.text()
    form.held_field.setText("2-9")
    form.held_field.editingFinished.emit()
    assert "no plane 4" in stack.tune.message.text(), "shown while it is typed"


def test_an_error_of_a_search_is_shown_until_the_next_search(stack: Any, qtbot: Any) -> None:
    stack.tune.extra_images_form.tuned_field.setText("3")
    stack.tune.goal_form.weights["count"].setValue(1)
    stack.tune.run_button.click()
    wait_until_idle(stack, qtbot)
    let_events_run(qtbot)
    assert "needs the number" in stack.tune.message.text()
    stack.tune.expectation_form.fields["count"].setText("4")
    stack.tune.run_button.click()
    assert "needs" not in stack.tune.message.text()
    stack.tune.controller.jobs.stop()
    wait_until_idle(stack, qtbot)


def test_a_search_on_several_images_is_checked_on_held_out_ones(stack: Any, qtbot: Any) -> None:
    tune, session = stack.tune, stack.tune.controller.session
    tune.extra_images_form.tuned_field.setText("0")
    tune.extra_images_form.held_field.setText("3")
    tune.extra_images_form.choices["another"].setCurrentText(TUNE)
    tune.budget_box.setValue(48)
    tune.run_button.click()
    wait_until_idle(stack, qtbot)
    assert len(session.trials) == 48, tune.message.text()
    assert [len(session.evaluators.tuned), len(session.evaluators.held_out)] == [3, 1]
    qtbot.waitUntil(lambda: "→" in tune.held_out.text.text())
    assert "stack, plane 3" in tune.held_out.text.text()
    before = tune.held_out.text.text()
    stack.front.choose(int(session.front.points.sum(axis=1).argmin()))  # one unlike the best
    qtbot.waitUntil(lambda: "→" in tune.held_out.text.text() != before)
    images = session.recipe().tuning.images
    assert [x["held_out"] for x in images] == [False, False, False, True]
    tune.continue_button.click()
    wait_until_idle(stack, qtbot)
    assert len(session.trials) == 96


def test_a_search_on_several_images_continues_after_they_were_reopened(
    stack: Any, qtbot: Any
) -> None:
    tune, viewer = stack.tune, stack.viewer
    session = tune.controller.session
    form, size = tune.extra_images_form, tune.expectation_form.fields["small"]
    tune.expectation_form.unit_box.setCurrentText("px")  # the other image has no pixel size
    size.setText("11.5")
    form.tuned_field.setText("0, 2")
    form.held_field.setText("3")
    form.choices["another"].setCurrentText(TUNE)
    tune.budget_box.setValue(32)
    tune.run_button.click()
    wait_until_idle(stack, qtbot)
    before = session.trials
    assert len(before) == 32, tune.message.text()

    layers = {name: viewer.layers[name] for name in ("another", "stack")}
    for layer in layers.values():
        viewer.layers.remove(layer)
    for field in (form.tuned_field, form.held_field, size):
        field.setText("")
    wait_until_drawn(viewer, qtbot)  # napari's canvas crashes if it is drawn only afterwards
    viewer.add_layer(layers["stack"])
    viewer.dims.set_current_step(0, 1)
    stack.segment.run_button.click()
    wait_until_idle(stack, qtbot)
    assert "with 4 more before (32 settings" in tune.message.text()
    assert "open <i>another</i>" in tune.message.text()
    assert not tune.continue_button.isEnabled()
    viewer.add_layer(layers["another"])
    tune.continue_button.click()
    assert (form.tuned_field.text(), form.held_field.text(), size.text()) == ("0, 2", "3", "11.5")
    assert form.choices["another"].currentText() == TUNE
    wait_until_idle(stack, qtbot)
    assert session.trials[:32] == before
    assert len(session.trials) == 32 + tune.budget_box.value()
