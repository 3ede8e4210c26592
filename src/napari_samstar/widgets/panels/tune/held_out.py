"""Whether the settings on show hold on what the search did not see."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_samstar.widgets.forms.shared import note
from napari_samstar.widgets.jobs.task_queue import TaskQueue

if TYPE_CHECKING:
    from napari_samstar.core.amg.config import AmgConfig
    from napari_samstar.core.rewards.goal import Goal
    from napari_samstar.core.tuning.evaluator import EvaluatorSet
    from napari_samstar.core.tuning.summary import ImageCheck
    from napari_samstar.widgets.panel import Panel

LOSES = 0.005
"""A mean score lower by more than this is called worse."""


class HeldOutNote(QWidget):
    """One line below the search; hidden where nothing was held out."""

    def __init__(self, panel: Panel) -> None:
        super().__init__()
        self._controller = panel.controller
        self._task_queue = TaskQueue()
        self._asked: Any = None
        self.text = note()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.text)
        events = self._controller.session.events
        for event in (
            events.front,
            events.chosen,
            events.evaluators,
            self._controller.jobs.changed,
        ):
            panel.listen(event, self.refresh)
        self.refresh()

    def refresh(self, *_: Any) -> None:
        """Measure what is on show on what was held out, once the search rests."""
        session = self._controller.session
        front, evaluators = session.front, session.evaluators
        held = evaluators is not None and bool(evaluators.held_out) and front is not None
        self.setVisible(held)
        if not held or self._controller.jobs.busy or front is None or front.defaults is None:
            self._asked = None
            self.text.clear()
            return
        assert evaluators is not None
        picked = front.best if session.chosen is None else session.chosen
        chosen, defaults = (front.trials[k].config for k in (picked, front.defaults))
        whose = "of the best" if session.chosen is None else "on show"
        asked = (id(evaluators), defaults, chosen, front.goal, whose)
        if asked == self._asked:
            return
        self._asked = asked
        self.text.setText("Checking what was held out…")
        work = partial(_check, evaluators, defaults, chosen)
        done = partial(self._on_checked, asked, front.goal, whose)
        self._task_queue.add(work, done, "check")

    def _on_checked(
        self, asked: Any, goal: Goal, whose: str, found: tuple[ImageCheck, ...]
    ) -> None:
        if asked == self._asked:
            self.text.setText(_sentence(goal, whose, found))


def _check(
    evaluators: EvaluatorSet, defaults: AmgConfig, chosen: AmgConfig
) -> tuple[ImageCheck, ...]:
    from napari_samstar.core.progress import run
    from napari_samstar.core.tuning.evaluator import check_images

    return run(check_images(evaluators, defaults, chosen, held_out_only=True))


def _sentence(goal: Goal, whose: str, found: tuple[ImageCheck, ...]) -> str:
    before, after = (
        sum(goal.total(rewards) for rewards, _ in results) / len(found)
        for results in ([c.defaults for c in found], [c.chosen for c in found])
    )
    lost = [c.name for c in found if goal.total(c.chosen[0]) < goal.total(c.defaults[0]) - LOSES]
    what = found[0].name if len(found) == 1 else f"{len(found)} images"
    verdict = "The settings hold there."
    if lost:
        verdict = f"They do worse on {', '.join(lost[:3])}: tune on more images or planes."
    return (
        f"<b>Held out ({what})</b>: mean score {before:.3f} with SAM's defaults → {after:.3f} "
        f"with the settings {whose}. {verdict}"
    )
