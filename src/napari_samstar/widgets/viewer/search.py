"""The search of a viewer: starts and resumes it, and hands its trials to the session."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_warning

from napari_samstar.widgets.jobs.jobs import Job, Jobs, Status
from napari_samstar.widgets.viewer import work

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_samstar.app.session import Session
    from napari_samstar.core.rewards.goal import Goal
    from napari_samstar.core.tuning.config import StudyConfig, Trial
    from napari_samstar.core.tuning.inputs import SearchInputs


class SearchController:
    """Starts searches as jobs, and gives the session what they find.

    Parameters
    ----------
    session : Session
    jobs : Jobs
    cache_of : callable
        Returns the embedding cache of the viewer's jobs.
    """

    def __init__(self, session: Session, jobs: Jobs, cache_of: Callable[[], Any]) -> None:
        self._session = session
        self._jobs = jobs
        self._cache_of = cache_of
        self._found: tuple[Trial, ...] = ()
        self._show_again = 0.0
        self._chooses = False  # whether the end of the search chooses the best
        jobs.changed.connect(self._on_jobs_changed)

    def start(
        self, goal: Goal, study_config: StudyConfig, inputs: SearchInputs, *, resume: bool = False
    ) -> None:
        """Start a search on the segmented plane, or continue the stored one that is like it."""
        session = self._session
        if session.result is None:
            return
        self._found, self._show_again = (), 0.0
        self._chooses = True
        session.start_search(goal, study_config)
        arguments = (
            session.result, goal, study_config, inputs, self._cache_of, session.evaluators, resume,
        )  # fmt: skip
        self._jobs.start(Job("Tune", work.search, arguments, on_step=self._on_step))

    def resume(self, more: int, inputs: SearchInputs) -> None:
        """Continue the search on show, or the one that an earlier session stored.

        Up to its budget, or by `more` trials where that is used up.
        """
        session = self._session
        earlier = session.earlier if session.study_config is None else None
        if earlier is not None:
            goal, study_config, done = (
                earlier.goal, earlier.study_config, len(earlier.trials),
            )  # fmt: skip
        elif session.goal is not None and session.study_config is not None:
            goal, study_config, done = session.goal, session.study_config, len(session.trials)
        else:
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
        from napari_samstar.core.tuning.evaluator import EvaluatorSet
        from napari_samstar.core.tuning.storage import Notice
        from napari_samstar.core.tuning.study import StudyRun

        if isinstance(step, tuple):
            self._found += step
            if time.monotonic() >= self._show_again:
                self.hand_over()
        elif isinstance(step, Notice):
            show_warning(step.text)
        elif isinstance(step, EvaluatorSet):
            self._session.evaluators = step
        elif isinstance(step, StudyRun):
            self._session.study_config = step.study_config

    def _on_jobs_changed(self, status: Status) -> None:
        if not status.title:
            self.hand_over()
            self._choose_best()

    def _choose_best(self) -> None:
        """Show the best trial when a search has ended, unless the user has chosen a trial."""
        session, wanted = self._session, self._chooses
        self._chooses = False
        if wanted and session.front is not None and session.chosen is None:
            session.choose(session.front.best, "best")
