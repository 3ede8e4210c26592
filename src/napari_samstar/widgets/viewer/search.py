"""The search of a viewer: its start, its continuation, and what it has found."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_warning

from napari_samstar.widgets.jobs.jobs import Job, Jobs, Status
from napari_samstar.widgets.viewer import work

if TYPE_CHECKING:
    from napari_samstar.app.session import Session
    from napari_samstar.core.rewards.goal import Goal
    from napari_samstar.core.tuning.config import StudyConfig, Trial
    from napari_samstar.core.tuning.inputs import SearchInputs


class Searching:
    """Starts searches as jobs, and gives the session what they find.

    Parameters
    ----------
    session : Session
    jobs : Jobs
    cache : callable
        Returns the embedding cache of the viewer's jobs.
    """

    def __init__(self, session: Session, jobs: Jobs, cache: Callable[[], Any]) -> None:
        self._session = session
        self._jobs = jobs
        self._cache = cache
        self._found: tuple[Trial, ...] = ()
        self._show_again = 0.0
        jobs.changed.connect(self._on_jobs_changed)

    def start(
        self, goal: Goal, study_config: StudyConfig, inputs: SearchInputs, *, resume: bool = False
    ) -> None:
        """Start searching on the segmented plane, or go on with the search that was like this."""
        segmented = self._session.segmented
        if segmented is None:
            return
        self._found, self._show_again = (), 0.0
        self._session.start_tuning(goal, study_config)
        arguments = (
            segmented,
            self._session.evaluators,
            goal,
            study_config,
            inputs,
            self._cache(),
            resume,
        )
        self._jobs.start(Job("Tune", work.tune, arguments, on_step=self._on_step))

    def go_on(self, more: int, inputs: SearchInputs) -> None:
        """Continue the search on show, or the one that an earlier session left in the journal.

        Up to its budget, or by `more` evaluations where that is used up.
        """
        session = self._session
        run = session.earlier if session.study_config is None else None
        goal, study_config = (
            (run.goal, run.study_config)
            if run is not None
            else (session.goal, session.study_config)
        )
        done = len(run.trials) if run is not None else len(session.trials)
        if goal is None or study_config is None:
            return
        if done >= study_config.trials:
            study_config = dataclasses.replace(study_config, trials=done + more)
        self.start(goal, study_config, inputs, resume=True)

    def hand_over(self) -> None:
        """Give the session what was found. On a long run that is dear, so it is done more rarely.

        Rebuilding and drawing the front then take a fifth of the time at most.
        """
        found, self._found = self._found, ()
        if found:
            start = time.monotonic()
            self._session.add_trials(found)
            self._show_again = time.monotonic() + 4 * (time.monotonic() - start)

    def _on_step(self, step: Any) -> None:
        from napari_samstar.core.tuning.storage import Notice

        if isinstance(step, tuple):
            self._found += step
            if time.monotonic() >= self._show_again:
                self.hand_over()
        elif isinstance(step, Notice):
            show_warning(step.text)
        else:
            self._session.evaluators = step

    def _on_jobs_changed(self, status: Status) -> None:
        if not status.title:
            self.hand_over()
