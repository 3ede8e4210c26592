"""Weights suggested in the Tune panel, with real clicks on the front and on the buttons."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtCore import QPointF, Qt
from qtpy.QtTest import QTest

from napari_samstar.core.rewards.goal import Goal
from napari_samstar.core.tuning import choices
from napari_samstar.core.tuning.preference import Choice, Option, suggest
from napari_samstar.widgets.panels.front.words import axis_values
from tests.widgets.waiting import wait_until_idle, wait_until_laid_out

if TYPE_CHECKING:
    from napari_samstar.core.tuning.config import Trial


def press(button: Any) -> None:
    assert button.isVisible()
    assert button.isEnabled()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


@pytest.fixture
def tuned(segmented: Any, qtbot: Any) -> Any:
    segmented.tune.budget_box.setValue(64)
    segmented.tune.run_button.click()
    wait_until_idle(segmented, qtbot)
    return segmented


def click_point(panel: Any, trial: int) -> None:
    """Click a trial on the plot."""
    front = panel.controller.session.front
    panel.plot.getViewBox().autoRange()
    x, y = (axis_values(front, box.currentData())[trial] for box in (panel.x_box, panel.y_box))
    at = panel.plot.mapFromScene(panel.plot.getViewBox().mapViewToScene(QPointF(x, y)))
    QTest.mouseClick(panel.plot.viewport(), Qt.MouseButton.LeftButton, pos=at)


def far_from_best(panel: Any) -> int:
    """Return the trial that lies farthest from the best on the plot."""
    front = panel.controller.session.front
    places = np.array([axis_values(front, b.currentData()) for b in (panel.x_box, panel.y_box)])
    return int(np.argmax(np.abs(places - places[:, [front.best]]).sum(axis=0)))


def store_choices(trials: tuple[Trial, ...], n: int = 6) -> list[Choice]:
    """Store choices that prefer round objects to sure ones, in searches of their own."""
    base = dict(trials[0].rewards)
    applied = base | {"circularity": min(base["circularity"], 0.8) + 0.1}
    applied["likely_objects"] = base["likely_objects"] - 0.03
    made = [
        Choice(
            applied=Option(applied, 10),
            passed=(Option(base | {"circularity": min(base["circularity"], 0.8)}, 20),),
            own=True,
            weights=dict(Goal().weights),
            search=f"earlier {k}",
            image="another",
            name="another.tif",
            when="2026-01-01T00:00:00+00:00",
        )
        for k in range(n)
    ]
    for choice in made:
        choices.add(choice)
    assert suggest(made, Goal()) is not None
    return made


def show_page(panels: Any, panel: Any, qtbot: Any) -> None:
    panel.parentWidget().raise_()
    qtbot.waitUntil(panel.isVisible)
    wait_until_laid_out(panels.viewer, qtbot)


def test_what_is_applied_is_noted_with_what_was_shown_before(tuned: Any, qtbot: Any) -> None:
    session, front = tuned.front.controller.session, tuned.front.controller.session.front
    show_page(tuned, tuned.front, qtbot)
    best = front.trials[front.best]
    click_point(tuned.front, far_from_best(tuned.front))
    chosen = session.trials[session.chosen]
    assert chosen.rewards != best.rewards
    weights = tuned.tune.goal_form.goal()
    press(tuned.front.apply_button)
    qtbot.waitUntil(lambda: bool(choices.read().made))
    (made,) = choices.read().made
    assert made.applied == Option(chosen.rewards, chosen.n_masks)
    assert Option(best.rewards, best.n_masks) in made.passed
    assert made.own
    assert made.name == session.result.image.name

    click_point(tuned.front, front.best)
    press(tuned.front.apply_button)
    row = tuned.tune.preference_row
    qtbot.waitUntil(lambda: "1 choice of yours noted" in row.text.text())
    (last,) = choices.read().made
    assert last.search == made.search, "one search is one choice"
    assert tuned.tune.goal_form.goal() == weights


def test_weights_change_only_with_use_and_a_preset_brings_them_back(tuned: Any, qtbot: Any) -> None:
    tune, session = tuned.tune, tuned.tune.controller.session
    row, before = tune.preference_row, tune.goal_form.goal()
    store_choices(session.trials)
    show_page(tuned, tune, qtbot)
    assert not row.use_button.isVisible()
    tune.controller.choices.refresh()
    qtbot.waitUntil(row.use_button.isVisible)
    assert "You prefer fewer" in row.text.text()
    assert "6 of your 6 choices agree" in row.text.text()
    assert tune.scroll.widget().minimumSizeHint().width() <= 350
    suggested = tune.controller.choices.suggestion.goal
    assert tune.goal_form.goal() == session.goal == before

    press(row.use_button)
    assert tune.goal_form.goal().weights == pytest.approx(dict(suggested.weights))
    assert session.goal.weights["circularity"] > 0
    assert session.front.goal == session.goal
    assert tune.goal_form.preset_box.currentData() == ""
    assert not row.use_button.isVisible()
    box = tune.goal_form.preset_box
    box.setCurrentIndex(box.findData("balanced"))
    box.activated.emit(box.currentIndex())
    assert tune.goal_form.goal() == before


def test_not_now_hides_it_until_another_choice_and_choices_can_be_forgotten(
    tuned: Any, qtbot: Any
) -> None:
    tune, session = tuned.tune, tuned.tune.controller.session
    row, controller = tune.preference_row, tune.controller.choices
    made = store_choices(session.trials)
    show_page(tuned, tune, qtbot)
    controller.refresh()
    qtbot.waitUntil(row.use_button.isVisible)
    before = tune.goal_form.goal()
    press(row.not_now_button)
    assert not row.use_button.isVisible()
    assert "6 choices of yours noted" in row.text.text()
    choices.add(replace(made[0], search="one more"))
    controller.refresh()
    qtbot.waitUntil(row.use_button.isVisible)

    row.list_action.trigger()
    assert "another.tif: 10 objects, not 20" in row.text.text()
    row.note_action.trigger()
    qtbot.waitUntil(lambda: "not noted" in row.text.text())
    assert not choices.read().on
    row.forget_action.trigger()
    qtbot.waitUntil(lambda: not choices.read().made)
    row.note_action.trigger()
    qtbot.waitUntil(lambda: not row.isVisible())
    assert choices.read() == choices.Choices()
    assert tune.goal_form.goal() == session.goal == before


def test_a_folder_that_cannot_be_written_is_said_once_and_applying_goes_on(
    tuned: Any, qtbot: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SAMSTAR_CACHE", str(tmp_path / "file"))
    said: list[str] = []
    monkeypatch.setattr("napari_samstar.widgets.viewer.choices.show_warning", said.append)
    show_page(tuned, tuned.front, qtbot)
    click_point(tuned.front, far_from_best(tuned.front))
    for _ in range(2):
        press(tuned.front.apply_button)
    qtbot.waitUntil(lambda: bool(said))
    qtbot.wait(50)
    assert len(said) == 1
    assert "cannot be noted" in said[0]
    assert len([x for x in tuned.viewer.layers if x.name.startswith("discs objects")]) == 2
