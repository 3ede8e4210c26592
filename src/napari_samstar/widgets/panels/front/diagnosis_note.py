"""What the search says: the diagnosis of the search on show, in the Pareto front panel."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QSizePolicy

from napari_samstar.widgets.forms.shared import link
from napari_samstar.widgets.jobs.task_queue import TaskQueue
from napari_samstar.widgets.shell.alive import call_if_alive

if TYPE_CHECKING:
    from napari_samstar.core.tuning.config import StudyConfig
    from napari_samstar.core.tuning.evaluator import Evaluator
    from napari_samstar.core.tuning.front import Front
    from napari_samstar.core.tuning.remark import Remark
    from napari_samstar.widgets.panel import Panel


class DiagnosisNote(QLabel):
    """The most important remark on a search that has ended; a click on its link shows the others.

    Hidden where there are none. They are made on a thread, because candidates are filtered for
    them.
    """

    def __init__(self, panel: Panel) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)
        self.setToolTip("What was seen, and what to do next.")
        self.linkActivated.connect(self._on_link)
        self._controller = panel.controller
        self._task_queue = TaskQueue()
        self._asked: Any = None
        self._front: Front | None = None  # that the remarks are about
        self._remarks: Sequence[Remark] = ()
        self._expanded = False
        events = self._controller.session.events
        for event in (
            events.front,
            events.chosen,
            events.evaluators,
            self._controller.jobs.changed,
        ):
            panel.listen(event, self.refresh)
        self._show(())
        self.refresh()

    def refresh(self, *_: Any) -> None:
        """Make the remarks anew, once the search rests."""
        session = self._controller.session
        front, study_config, chosen = session.front, session.study_config, session.chosen
        if front is None or study_config is None:
            self._asked = None
            self._show(())
            return
        if self._controller.jobs.busy:
            if self._front is not front:
                self._show(())  # what is on show is about another search, or less of it
            self._asked = None
            return
        picked = front.best if chosen is None or chosen >= len(front.trials) else chosen
        evaluators = session.evaluators
        asked = (front, picked, evaluators)
        if asked == self._asked:
            return
        self._asked = asked
        tuned = () if evaluators is None else evaluators.tuned
        work = partial(_remarks, front, picked, study_config, tuned)
        self._task_queue.add(work, partial(call_if_alive(self._on_made), asked), "diagnosis")

    def _on_made(self, asked: Any, remarks: tuple[Remark, ...]) -> None:
        if asked is self._asked:
            self._show(remarks, asked[0])

    def _on_link(self, _: str) -> None:
        self._expanded = not self._expanded
        self._show(self._remarks, self._front)

    def _show(self, remarks: Sequence[Remark], front: Front | None = None) -> None:
        self._remarks, self._front = remarks, front
        self.setVisible(bool(remarks))
        lines = "".join(map(_html, remarks[:1]))
        if self._expanded:
            lines = "".join(f"<br>• {_html(remark)}" for remark in remarks)
        more = f"{len(remarks) - 1} more"
        toggle = link("more", "less" if self._expanded else more) if len(remarks) > 1 else ""
        self.setText(f"<b>What the search says:</b> {lines} {toggle}" if remarks else "")


def _html(remark: Remark) -> str:
    return f"{escape(remark.seen)} <i>{escape(remark.step)}</i>"


def _remarks(
    front: Front, picked: int, study_config: StudyConfig, tuned: Sequence[Evaluator]
) -> tuple[Remark, ...]:
    from napari_samstar.core.tuning.diagnosis import diagnose
    from napari_samstar.core.tuning.mask_evidence import mask_evidence

    evidence = mask_evidence(tuned, front.trials[picked].config) if tuned else None
    return diagnose(front, picked, study_config, evidence)
