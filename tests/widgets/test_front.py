"""The Pareto front panel: axes, comparison, export, and searches that are continued."""

from __future__ import annotations

import csv
import itertools
from dataclasses import replace
from functools import partial
from html import escape
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtTest import QTest

from napari_samstar.core.rewards.registry import REWARDS
from napari_samstar.core.tuning.diagnosis import diagnose
from napari_samstar.core.tuning.front import hypervolume_by_generation
from napari_samstar.core.tuning.mask_evidence import mask_evidence
from napari_samstar.widgets.panels.front.words import axis_values
from napari_samstar.widgets.viewer.layer_writer import COMPARISON_NAME, PREVIEW_NAME
from tests.widgets.conftest import type_into_dialog
from tests.widgets.waiting import wait_until_drawn, wait_until_idle, wait_until_laid_out


@pytest.fixture
def tuned(segmented: Any, qtbot: Any) -> Any:
    segmented.tune.budget_box.setValue(64)
    segmented.tune.run_button.click()
    wait_until_idle(segmented, qtbot)
    assert len(segmented.tune.controller.session.trials) == 64, segmented.tune.message.text()
    return segmented


def _click(plot: Any, at: QPoint, held: Any = Qt.KeyboardModifier.NoModifier) -> None:
    QTest.mouseClick(plot, Qt.MouseButton.LeftButton, held, at)


def _position(panel: Any, trial: int) -> QPoint:
    """Return where a trial lies on the plot."""
    x, y = (axis_values(panel.controller.session.front, box.currentData())[trial]
            for box in (panel.x_box, panel.y_box))  # fmt: skip
    return panel.plot.mapFromScene(panel.plot.getViewBox().mapViewToScene(QPointF(x, y)))


def _in_view(plot: Any, at: QPoint) -> bool:
    return bool(plot.getViewBox().sceneBoundingRect().contains(plot.mapToScene(at)))


def _hover_until(condition: Any, panel: Any, at: QPoint, qtbot: Any) -> None:
    """Move the pointer to and fro at a place of the plot until the condition holds."""
    steps = itertools.cycle((QPoint(0, 0), QPoint(1, 0)))

    def moved() -> bool:
        QTest.mouseMove(panel.plot.viewport(), at + next(steps))
        return bool(condition())

    qtbot.waitUntil(moved)


def test_front_axes_comparison_and_export(tuned: Any, qtbot: Any, tmp_path: Any) -> None:
    panel, session = tuned.front, tuned.front.controller.session
    front = session.front
    # The reward that tells the trials apart best
    values = {name: [e.rewards.get(name, 0.0) for e in front.trials] for name in REWARDS}
    name = max(values, key=lambda name: float(np.std(values[name])))
    panel.x_box.setCurrentIndex(panel.x_box.findData(name))
    x, _ = panel.plot.tried.getData()
    np.testing.assert_allclose(x, values[name])
    assert panel.plot.getAxis("bottom").labelText == REWARDS[name].label
    assert len(panel.plot.line.getData()[0] or []) == 0

    wait_until_laid_out(tuned.viewer, qtbot)
    panel.plot.getViewBox().autoRange()  # all trials, also the few that lie far off
    click = partial(_click, panel.plot.viewport())
    counts = [e.n_masks for e in front.trials]
    at = partial(_position, panel)
    click(at(front.best))
    first = session.chosen
    assert first == front.best
    seen = [k for k in range(len(counts)) if _in_view(panel.plot, at(k))]
    far = max(seen, key=lambda k: (at(k) - at(first)).manhattanLength())
    click(at(far), Qt.KeyboardModifier.ShiftModifier)
    second = panel._compared
    assert second is not None
    assert session.chosen == first, "comparing must not choose"
    assert panel.controller.layers.visible_layer(COMPARISON_NAME) is not None
    assert not tuned.viewer.layers[PREVIEW_NAME].visible
    for word in ("gained", "lost", "changed", "same"):
        assert word in panel.details.text()
    click(at(second))
    assert session.chosen == second
    assert panel.controller.layers.visible_layer(COMPARISON_NAME) is None
    assert tuned.viewer.layers[PREVIEW_NAME].visible
    assert len(panel.plot.compared_ring.points()) == 0

    for k in (first, second):
        _hover_until(
            lambda k=k: f"{counts[k]} objects" in panel.plot.toolTip(), panel, at(k), qtbot
        )
    _hover_until(lambda: panel.plot.toolTip() == "", panel, QPoint(2, 2), qtbot)

    panel.curve_section.expand(animate=False)
    panel._draw_curve()
    np.testing.assert_allclose(
        panel.curve.curve.getData()[1], hypervolume_by_generation(front.trials, front.goal)
    )
    for act, name in zip(panel.export_button.menu().actions(), ("f.csv", "f.png"), strict=True):
        type_into_dialog(tmp_path / "f")
        act.trigger()
        qtbot.waitUntil(lambda name=name: name in panel.details.text())
    with (tmp_path / "f.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 64
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
    for theme in ("light", "dark"):
        tuned.viewer.theme = theme


def test_what_the_search_says_is_shown(tuned: Any, qtbot: Any) -> None:
    session, label = tuned.front.controller.session, tuned.front.diagnosis

    def expected() -> tuple[Any, ...]:
        evidence = mask_evidence(session.evaluators.tuned, session.config)
        return diagnose(session.front, session.chosen, session.study_config, evidence)

    def shown(remark: Any) -> bool:
        return escape(remark.seen) in label.text() and escape(remark.step) in label.text()

    session.choose(session.front.defaults)  # which is not better than itself
    first, *others = expected()
    assert "no gain" in [remark.kind for remark in (first, *others)]
    qtbot.waitUntil(lambda: shown(first))
    assert "What the search says" in label.text()
    assert others
    assert not any(map(shown, others))
    label.linkActivated.emit("more")
    assert all(map(shown, (first, *others)))
    label.linkActivated.emit("more")
    assert not any(map(shown, others))
    session.start_search(session.goal, session.study_config)
    assert label.isHidden(), "remarks about a search that is gone"


def test_a_search_is_continued_with_more_trials_and_after_its_image_was_reopened(
    tuned: Any, qtbot: Any
) -> None:
    tune, session = tuned.tune, tuned.tune.controller.session
    first = session.trials
    tune.budget_box.setValue(32)
    tune.continue_button.click()
    wait_until_idle(tuned, qtbot)
    assert session.trials[:64] == first
    assert len(session.trials) == 96

    image = tuned.viewer.layers["discs"]
    everything = session.trials
    tuned.viewer.layers.remove(image)
    assert session.result is None, "the bank of a closed image is still held"
    assert session.front is None
    qtbot.waitUntil(lambda: PREVIEW_NAME not in tuned.viewer.layers)
    wait_until_drawn(tuned.viewer, qtbot)  # napari's canvas crashes if it is drawn only afterwards
    tuned.viewer.add_layer(image)
    tuned.segment.run_button.click()
    wait_until_idle(tuned, qtbot)
    assert "tuned this image before" in tune.message.text()
    tune.continue_button.click()
    wait_until_idle(tuned, qtbot)
    assert session.trials[:96] == everything


def test_a_trial_whose_candidates_are_missing_is_decoded_before_it_is_shown(
    tuned: Any, qtbot: Any
) -> None:
    """Of a search that was gone on with after a restart, the zoomed crops are not in the bank."""
    session, panel = tuned.front.controller.session, tuned.front
    zoomed = session.trials[0].config.replace(crop_n_layers=1)
    assert session.result.bank.missing([zoomed])
    session.add_trials((replace(session.trials[0], config=zoomed),))
    panel.choose(0)
    shown = tuned.viewer.layers[PREVIEW_NAME]
    assert shown.visible
    panel.choose(len(session.trials) - 1)
    assert session.selection is None
    assert not shown.visible
    assert not panel.apply_button.isEnabled()
    wait_until_idle(tuned, qtbot)
    assert session.selection.config == zoomed
    assert session.chosen == len(session.trials) - 1
    assert shown.visible
    assert panel.apply_button.isEnabled()
    assert len(np.unique(shown.data)) - 1 == len(session.selection)


def test_tools_start_from_the_settings_on_show(tuned: Any) -> None:
    session, segment = tuned.front.controller.session, tuned.segment
    segment.settings.rows["pred_iou_thresh"].value = 0.35
    assert session.settings.pred_iou_thresh == 0.35
    assert session.result.config.pred_iou_thresh != 0.35
    assert tuned.tune._study_config().base == session.settings
    session.config = session.config.replace(tile_scale=None)
    assert session.settings.tile_scale == session.result.config.tile_scale


def test_weights_of_hidden_rewards_count_and_their_number_is_shown(
    panels: Any,
) -> None:
    form = panels.tune.goal_form
    shown = [name for name, weight in form.goal().weights.items() if weight > 0]
    hidden = [name for name in REWARDS if name not in shown]
    assert form._section.isHidden() == (not hidden)
    goal = form.goal()
    form.show_goal(type(goal)({"coverage": 2.0}, goal.objectives))
    assert f"({len(REWARDS) - 1})" in form._section.text()
    form.weights["boundary"].setValue(1.5)
    assert panels.tune.controller.session.goal.weights["boundary"] == 1.5


def test_a_point_inside_the_ring_around_the_chosen_point_can_be_clicked(tuned: Any) -> None:
    panel, front = tuned.front, tuned.tune.controller.session.front
    rows = len(front.trials)
    important = {front.knee, front.best, front.defaults, *front.members.tolist()}
    one, other = [k for k in range(rows) if k not in important][:2]
    x, y = np.zeros(rows), np.zeros(rows)
    x[-1], y[-1] = 1, 1  # the frame
    x[[one, other]], y[[one, other]] = 0.5, 0.5
    panel.plot.draw(front, x, y, connect_members=False)
    x[other] += 7 * panel.plot.getViewBox().viewPixelSize()[0]
    panel.plot.draw(front, x, y, connect_members=False)
    panel.plot.mark(panel.plot.chosen_ring, x, y, one)
    picked: list[int] = []
    panel.plot.picked.connect(lambda position, _: picked.append(position))
    view = panel.plot.getViewBox()
    for k in (other, one):
        place = view.mapViewToScene(QPointF(x[k], y[k]))
        _click(panel.plot.viewport(), panel.plot.mapFromScene(place))
    assert picked == [other, one]


def test_the_legend_covers_none_of_the_points_that_it_names(tuned: Any, qtbot: Any) -> None:
    front = tuned.tune.controller.session.front
    plot = tuned.front.plot
    rows = len(front.trials)
    named = [front.knee, front.best, front.defaults]
    for corner in ((1, 1), (0, 1), (1, 0), (0, 0)):
        x, y = np.full(rows, 0.5), np.full(rows, 0.5)
        x[0], x[1], y[0], y[1] = 0, 1, 0, 1  # the frame
        x[named], y[named] = abs(corner[0] - 0.03), abs(1 - corner[1] - 0.03)
        plot.draw(front, x, y, connect_members=False)
        assert plot._corner != corner
        legend, view = plot.plotItem.legend, plot.getViewBox()
        at = legend.mapRectToItem(view, legend.boundingRect()).center()
        assert (at.x() > view.width() / 2, at.y() > view.height() / 2) == plot._corner
