"""A search that is written down while it runs, and can be continued."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_samstar.core.journal import Journal, Notice
from napari_samstar.core.pareto import elite
from napari_samstar.core.plan import SOUND_STARTS, Evaluation, Plan
from napari_samstar.core.progress import Progress
from napari_samstar.core.search import random_search, search

if TYPE_CHECKING:
    from napari_samstar.core.goal import Goal
    from napari_samstar.core.several import Judging

BATCH_SECONDS = 0.1
"""Evaluations are handed over and written in batches this far apart."""

WARM_SHARE = 4
"""Under a changed goal, one in so many of the first population comes from earlier runs."""

Step = Progress | Notice | tuple[Evaluation, ...]


@dataclass(frozen=True, eq=False)
class Continued:
    """A search with its past.

    Attributes
    ----------
    goal : Goal
    plan : Plan
    known : tuple of Evaluation
        What earlier runs have evaluated; never evaluated again.
    journal : Journal, optional
        Where new evaluations are written.
    resumed : bool
        Whether an earlier run of this very search goes on.
    """

    goal: Goal
    plan: Plan
    known: tuple[Evaluation, ...] = ()
    journal: Journal | None = None
    resumed: bool = False

    def searched(self, judge: Judging, minutes: float | None = None) -> Iterator[Step]:
        """Run NSGA-II; yields progress, batches of evaluations and at most one notice.

        After `minutes` of new work it ends, and can be continued.
        """
        steps = search(judge.evaluate, self.goal, self.plan, self.known)
        return self._batches(steps, "Trying settings", minutes)

    def drawn(self, judge: Judging) -> Iterator[Step]:
        """Run random search at the same budget."""
        steps = random_search(judge.evaluate, self.plan, self.known)
        return self._batches(steps, "Trying random settings", None)

    def _batches(
        self, steps: Iterator[Progress | Evaluation], text: str, minutes: float | None
    ) -> Iterator[Step]:
        written = {e.config for e in self.known}
        batch: list[Evaluation] = []
        done, start = 0, time.monotonic()
        since = start
        try:
            for step in steps:
                if isinstance(step, Progress):
                    yield step
                    continue
                batch.append(step)
                done += 1
                now = time.monotonic()
                if now - since < BATCH_SECONDS and done < self.plan.evaluations:
                    continue
                full, batch, since = tuple(batch), [], now
                yield from self._write(full, written)
                yield full
                yield Progress(done, self.plan.evaluations, text)
                if minutes is not None and now - start >= 60 * minutes:
                    return
        finally:
            # Stopped or killed by an error: what was evaluated is kept.
            for _ in self._write(tuple(batch), written):
                pass
        if batch:
            yield tuple(batch)

    def _write(self, batch: tuple[Evaluation, ...], written: set[Any]) -> Iterator[Notice]:
        fresh = [e for e in batch if e.config not in written]
        if self.journal is None:
            return
        self.journal.add(fresh)
        written.update(e.config for e in fresh)
        problem = self.journal.unsaid_problem()
        if problem is not None:
            yield Notice(problem)


def continued(
    goal: Goal,
    plan: Plan,
    journal: Journal | None = None,
    judged_by: dict[str, Any] | None = None,
    *,
    resume: bool = False,
    told: dict[str, Any] | None = None,
) -> Continued:
    """Prepare a search, and note its start in `journal`.

    Parameters
    ----------
    goal : Goal
    plan : Plan
    journal : Journal, optional
    judged_by : dict, optional
        See `several.judged_by`; needed with a journal.
    resume : bool
        Take up what `journal` knows. The latest run of the same goal and plan, at any budget,
        goes on exactly as if it had never stopped. Under another goal or plan nothing known is
        evaluated again, and its best configurations are in the first population.
    told : dict, optional
        What the journal shall remember of what the user told, see `told.Told.to_dict`.
    """
    if journal is None:
        return Continued(goal, plan)
    judged_by = judged_by or {}
    known = journal.known(judged_by) if resume else ()
    before = journal.last(goal, plan, judged_by) if resume else None
    if before is not None:
        plan = replace(plan, starts=before.plan.starts)
    elif known:
        room = min(plan.population // WARM_SHARE, plan.population - 1 - len(SOUND_STARTS))
        plan = replace(plan, starts=tuple(e.config for e in elite(known, goal, room)))
    journal.begin(goal, plan, judged_by, told)
    return Continued(goal, plan, known, journal, before is not None)
