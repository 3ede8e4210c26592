"""Notes what the user applies and passes over, and keeps the suggestion that follows from it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_warning
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_samstar.core.errors import UserError
from napari_samstar.widgets.viewer.autosave_tasks import BackgroundTasks

if TYPE_CHECKING:
    from napari_samstar.app.session import Session
    from napari_samstar.core.rewards.goal import Goal
    from napari_samstar.core.tuning.choices import Choices
    from napari_samstar.core.tuning.config import Trial
    from napari_samstar.core.tuning.preference import Choice, Option, Suggestion

PAUSE = 400  # ms after the last change of the goal: sliders move in many steps


@dataclass(frozen=True, eq=False)
class Known:
    """What is stored, and what it suggests for a goal; made off the GUI thread.

    Attributes
    ----------
    stored : Choices
    noted : tuple of Choice
        Those that count for the goal.
    suggestion : Suggestion, optional
    words : str
        The suggestion as a sentence.
    problem : str
        Why something could not be written, for the user; empty if all went well.
    """

    stored: Choices
    noted: tuple[Choice, ...] = ()
    suggestion: Suggestion | None = None
    words: str = ""
    problem: str = ""


class ChoiceController:
    """Follows the trials on show, and stores a choice when one of them is applied.

    All files are read and written on the autosave thread, where the fit is made too. The goal is
    never changed here.

    Attributes
    ----------
    known : Known, optional
        None until it was read.
    changed : Signal
        Emitted when `known` has changed.
    """

    changed = Signal()

    def __init__(self, session: Session) -> None:
        self.known: Known | None = None
        self._session = session
        self._search = uuid.uuid4().hex[:12]
        self._shown: dict[int, None] = {}  # positions in `trials`, in order
        self._declined = ""  # what "Not now" was said to
        self._last_problem = ""  # said once, not for every choice
        self._background = BackgroundTasks()
        self._timer = QTimer(self._background)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE)
        self._timer.timeout.connect(self.refresh)
        session.events.chosen.connect(self._on_session_chosen)
        session.events.trials.connect(self._on_session_trials)
        session.events.goal.connect(self._on_session_goal)

    @property
    def suggestion(self) -> Suggestion | None:
        """What is suggested in place of the present weights; None after `not_now`."""
        known, goal = self.known, self._session.goal
        found = known.suggestion if known is not None and known.stored.on else None
        if found is None or goal is None or found.present.weights != goal.weights:
            return None
        return None if _key(found) == self._declined else found

    def not_now(self) -> None:
        """Do not show the suggestion again before another choice was made."""
        if self.suggestion is not None:
            self._declined = _key(self.suggestion)
            self.changed.emit()

    def applied(self) -> None:
        """Note that the trial on show was applied, unless nothing was passed over for it."""
        choice = self._choice()
        if choice is not None:
            self._run("add", choice)

    def switch(self, on: bool) -> None:
        """Switch on or off that choices are noted."""
        self._run("switch", on)

    def forget(self) -> None:
        """Delete all choices that are stored."""
        self._run("forget")

    def refresh(self) -> None:
        """Read what is stored, and make the suggestion for the present goal."""
        self._run("read")

    # --- what happened ------------------------------------------------------------------------

    def _on_session_trials(self, trials: tuple[Trial, ...]) -> None:
        if not trials:
            self._search = uuid.uuid4().hex[:12]
            self._shown.clear()

    def _on_session_chosen(self, position: int | None) -> None:
        if position is not None:
            self._shown[position] = None

    def _on_session_goal(self, *_: Any) -> None:
        if self._session.goal is not None:
            self._timer.start()

    def _choice(self) -> Choice | None:
        from napari_samstar.core.tuning.preference import Choice

        session = self._session
        front, chosen, result = session.front, session.chosen, session.result
        if front is None or chosen is None or result is None:
            return None
        applied, proposed = _option(session.trials[chosen]), front.trials[front.best]
        seen = [session.trials[k] for k in self._shown if k < len(session.trials)]
        others = {id(t): _option(t) for t in (proposed, *seen)}.values()
        passed = tuple(o for o in others if o.rewards != applied.rewards)
        if not passed:
            return None
        return Choice(
            applied=applied,
            passed=passed,
            own=proposed.rewards != applied.rewards,
            weights=dict(front.goal.weights),
            search=self._search,
            image=result.image.key,
            name=result.image.name,
            when=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def _run(self, action: str, *arguments: Any) -> None:
        """Call a function of `core.tuning.choices` on the thread, then take what is known."""
        goal = self._session.goal
        self._background.submit(partial(_work, action, arguments, goal), self._take)

    def _take(self, known: Known) -> None:
        self.known = known
        if known.problem and known.problem != self._last_problem:
            show_warning(known.problem)
        self._last_problem = known.problem or self._last_problem
        self.changed.emit()


def _work(action: str, arguments: tuple[Any, ...], goal: Goal | None) -> Known:
    """Read or write choices, and make the suggestion for `goal`."""
    from napari_samstar.core.tuning import choices
    from napari_samstar.core.tuning.preference import choices_for, suggest
    from napari_samstar.core.tuning.preference_words import sentence

    problem = ""
    try:
        stored = getattr(choices, action)(*arguments)
    except UserError as error:
        stored, problem = choices.read(), str(error)
    if goal is None:
        return Known(stored, problem=problem)
    found = suggest(stored.made, goal) if stored.on else None
    words = "" if found is None else sentence(found)
    return Known(stored, choices_for(stored.made, goal), found, words, problem)


def _option(trial: Trial) -> Option:
    from napari_samstar.core.tuning.preference import Option

    return Option(trial.rewards, trial.n_masks)


def _key(found: Suggestion) -> str:
    """Return what tells a suggestion from one after another choice."""
    return "|".join(f"{c.search} {c.when}" for c in found.choices)
