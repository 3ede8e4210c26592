"""The search of a viewer: its start, its continuation, and what it has found."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_warning

from napari_samstar.widgets import _work
from napari_samstar.widgets._jobs import Job, Jobs, Status

if TYPE_CHECKING:
    from napari_samstar.core.goal import Goal
    from napari_samstar.core.plan import Evaluation, Plan
    from napari_samstar.core.told import Told
    from napari_samstar.session import Session


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
        self._found: tuple[Evaluation, ...] = ()
        self._show_again = 0.0
        jobs.changed.connect(self._on_jobs_changed)

    def start(self, goal: Goal, plan: Plan, told: Told, *, resume: bool = False) -> None:
        """Start searching on the segmented plane, or go on with the search that was like this."""
        segmented = self._session.segmented
        if segmented is None:
            return
        self._found, self._show_again = (), 0.0
        self._session.start_tuning(goal, plan)
        work = (segmented, self._session.jury, goal, plan, told, self._cache(), resume)
        self._jobs.start(Job("Tune", _work.tune, work, on_step=self._on_step))

    def go_on(self, more: int, told: Told) -> None:
        """Continue the search on show, or the one that an earlier session left in the journal.

        Up to its budget, or by `more` evaluations where that is used up.
        """
        session = self._session
        run = session.earlier if session.plan is None else None
        goal, plan = (run.goal, run.plan) if run is not None else (session.goal, session.plan)
        done = len(run.evaluations) if run is not None else len(session.evaluations)
        if goal is None or plan is None:
            return
        if done >= plan.evaluations:
            plan = dataclasses.replace(plan, evaluations=done + more)
        self.start(goal, plan, told, resume=True)

    def hand_over(self) -> None:
        """Give the session what was found. On a long run that is dear, so it is done more rarely.

        Rebuilding and drawing the front then take a fifth of the time at most.
        """
        found, self._found = self._found, ()
        if found:
            start = time.monotonic()
            self._session.add_evaluations(found)
            self._show_again = time.monotonic() + 4 * (time.monotonic() - start)

    def _on_step(self, step: Any) -> None:
        from napari_samstar.core.journal import Notice

        if isinstance(step, tuple):
            self._found += step
            if time.monotonic() >= self._show_again:
                self.hand_over()
        elif isinstance(step, Notice):
            show_warning(step.text)
        else:
            self._session.jury = step

    def _on_jobs_changed(self, status: Status) -> None:
        if not status.title:
            self.hand_over()
