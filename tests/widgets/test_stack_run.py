"""All planes of a stack: the one on show comes first, Stop keeps, and pressing again goes on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_samstar.core.amg import bank
from napari_samstar.widgets.viewer import work
from napari_samstar.widgets.viewer.controller import STACK
from tests.widgets.conftest import decode_once, discs
from tests.widgets.waiting import wait_until_idle


@pytest.fixture
def stack(panels: Any, qtbot: Any, monkeypatch: Any) -> Any:
    """The panels after plane 2 of a stack was segmented."""
    monkeypatch.setattr(bank, "decode_prompts", decode_once)
    viewer = panels.viewer
    viewer.layers.clear()
    planes = [np.roll(discs(), 5 * k, axis=1) for k in range(4)]
    viewer.add_image(np.stack(planes), name="stack")
    viewer.dims.set_current_step(0, 2)
    panels.segment.image_form.layer_box.setCurrentText("stack")
    panels.segment.run_button.click()
    wait_until_idle(panels, qtbot)
    panels.segment.link_box.setCurrentText("Do not link")
    return panels


def test_the_plane_on_show_comes_first_and_a_stopped_run_goes_on(
    stack: Any, qtbot: Any, monkeypatch: Any
) -> None:
    segment, controller = stack.segment, stack.segment.controller
    asked: list[tuple[tuple[int, ...], ...]] = []
    real = work.apply_to_planes

    def recorded(image: Any, planes: Any, *more: Any) -> Any:
        asked.append(tuple(planes))
        yield from real(image, planes, *more)

    monkeypatch.setattr(work, "apply_to_planes", recorded)
    segment.stack_button.click()
    qtbot.waitUntil(lambda: controller.stack is not None and bool(controller.stack.done))
    controller.jobs.stop()
    wait_until_idle(stack, qtbot)
    assert asked[0] == ((2,), (3,), (0,), (1,))
    done = len(controller.stack.done)
    assert 1 <= done < 4
    assert f"{done} of 4 planes are done" in segment.message.text()
    layer = stack.viewer.layers["stack objects"]
    first = np.array(layer.data[2])
    assert first.any()
    assert not layer.data[1].any()

    segment.stack_button.click()
    wait_until_idle(stack, qtbot)
    assert asked[1] == asked[0][done:]
    assert [x.name for x in stack.viewer.layers].count("stack objects") == 1
    np.testing.assert_array_equal(layer.data[2], first)
    assert all(plane.any() for plane in layer.data)
    ids = [set(np.unique(plane)) - {0} for plane in layer.data]
    assert not ids[2] & ids[3]
    assert controller.jobs.status.title != STACK


def test_apply_shows_the_plane_that_it_wrote(stack: Any) -> None:
    stack.viewer.dims.set_current_step(0, 0)
    stack.segment.apply_button.click()
    assert stack.viewer.dims.current_step[0] == 2


def test_a_typed_plane_that_is_not_there_is_an_error(stack: Any) -> None:
    form = stack.tune.extra_images_form
    form.tuned_field.setText("9")
    form.tuned_field.editingFinished.emit()
    assert "9" in stack.tune.message.text()
    assert "color" in stack.tune.message.text()


def test_a_new_pixel_size_keeps_the_objects_and_changes_the_unit(segmented: Any) -> None:
    session = segmented.segment.controller.session
    before = session.selection
    labels = segmented.segment.controller.apply()
    layer = segmented.viewer.layers["discs"]
    layer.scale = (3.0, 3.0)
    assert session.selection is before
    assert session.result.image.pixel_size == (3.0, 3.0)
    assert session.n_objects > 0
    assert labels in segmented.viewer.layers


def test_a_front_is_not_dropped_unasked(segmented: Any, qtbot: Any) -> None:
    segmented.tune.budget_box.setValue(32)
    segmented.tune.run_button.click()
    wait_until_idle(segmented, qtbot)
    session = segmented.segment.controller.session
    n = len(session.trials)
    assert session.chosen == session.front.best
    segmented.segment.image_form.invert_box.setChecked(True)
    segmented.segment.run_button.click()
    assert f"front of {n} tried settings" in segmented.segment.message.text()
    assert len(session.trials) == n
    segmented.segment.run_button.click()
    wait_until_idle(segmented, qtbot)
    assert not session.trials
