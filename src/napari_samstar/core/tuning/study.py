"""A search that is written down while it runs, and can be continued."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_samstar.core.progress import Progress
from napari_samstar.core.tuning import nsga2, planned
from napari_samstar.core.tuning.config import WARM_STARTS, StudyConfig, Trial
from napari_samstar.core.tuning.front import elite
from napari_samstar.core.tuning.storage import Journal, Notice

if TYPE_CHECKING:
    from napari_samstar.core.amg.bank import ProposalBank
    from napari_samstar.core.rewards.goal import Goal
    from napari_samstar.core.tuning.evaluator import SupportsEvaluate

BATCH_SECONDS = 0.1
"""Evaluations are handed over and written in batches this far apart."""

WARM_SHARE = 4
"""Under a changed goal, one in so many of the first population comes from earlier runs."""

Step = Progress | Notice | tuple[Trial, ...]


@dataclass(frozen=True, eq=False)
class StudyRun:
    """A search with its past.

    Attributes
    ----------
    goal : Goal
    study_config : StudyConfig
    known : tuple of Trial
        What earlier runs have evaluated; never evaluated again.
    journal : Journal, optional
        Where new evaluations are written.
    resumed : bool
        Whether an earlier run of this very search goes on.
    """

    goal: Goal
    study_config: StudyConfig
    known: tuple[Trial, ...] = ()
    journal: Journal | None = None
    resumed: bool = False

    def search(
        self,
        evaluator: SupportsEvaluate,
        minutes: float | None = None,
        banks: Sequence[ProposalBank] = (),
    ) -> Iterator[Step]:
        """Run the search of the scope; yields progress, batches of trials, at most one notice.

        After `minutes` of new work it ends, and can be continued.

        Parameters
        ----------
        banks : sequence of ProposalBank
            Of the images that the evaluator sees, for the scope "wide".
        """
        how, config = (evaluator.evaluate, self.goal), self.study_config
        if config.scope == "wide":
            steps = planned.search(*how, config, banks, self.known)
        else:
            steps = nsga2.search(*how, config, self.known)
        return self._batches(steps, "Trying settings", minutes)

    def random_search(
        self, evaluator: SupportsEvaluate, banks: Sequence[ProposalBank] = ()
    ) -> Iterator[Step]:
        """Run random search at the same budget."""
        evaluate, config = evaluator.evaluate, self.study_config
        if config.scope == "wide":
            steps = planned.random_search(evaluate, config, banks, self.known)
        else:
            steps = nsga2.random_search(evaluate, config, self.known)
        return self._batches(steps, "Trying random settings", None)

    def _batches(
        self, steps: Iterator[Progress | Trial], text: str, minutes: float | None
    ) -> Iterator[Step]:
        written = {e.config for e in self.known}
        batch: list[Trial] = []
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
                if now - since < BATCH_SECONDS and done < self.study_config.trials:
                    continue
                full, batch, since = tuple(batch), [], now
                yield from self._write(full, written)
                yield full
                yield Progress(done, self.study_config.trials, text)
                if minutes is not None and now - start >= 60 * minutes:
                    return
        finally:
            # Stopped or killed by an error: what was evaluated is kept.
            for _ in self._write(tuple(batch), written):
                pass
        if batch:
            yield tuple(batch)

    def _write(self, batch: tuple[Trial, ...], written: set[Any]) -> Iterator[Notice]:
        fresh = [e for e in batch if e.config not in written]
        if self.journal is None:
            return
        self.journal.add(fresh)
        written.update(e.config for e in fresh)
        problem = self.journal.unsaid_problem()
        if problem is not None:
            yield Notice(problem)


def open_study(
    goal: Goal,
    study_config: StudyConfig,
    journal: Journal | None = None,
    fingerprint: dict[str, Any] | None = None,
    *,
    resume: bool = False,
    inputs: dict[str, Any] | None = None,
) -> StudyRun:
    """Prepare a search, and note its start in `journal`.

    Parameters
    ----------
    goal : Goal
    study_config : StudyConfig
    journal : Journal, optional
    fingerprint : dict, optional
        See `several.fingerprint`; needed with a journal.
    resume : bool
        Take up what `journal` knows. The latest run of the same goal and plan, at any budget,
        goes on exactly as if it had never stopped. Under another goal or plan nothing known is
        evaluated again, and its best configurations are in the first population.
    inputs : dict, optional
        The user's inputs, which the journal stores, see `inputs.SearchInputs.to_dict`.
    """
    if journal is None:
        return StudyRun(goal, study_config)
    fingerprint = fingerprint or {}
    known = journal.known(fingerprint) if resume else ()
    before = journal.last(goal, study_config, fingerprint) if resume else None
    if before is not None:
        # The cost too: the pace of the machine may have been another.
        starts, cost = before.study_config.starts, before.study_config.cost
        study_config = replace(study_config, starts=starts, cost=cost)
    elif known:
        room = min(
            study_config.population // WARM_SHARE, study_config.population - 1 - len(WARM_STARTS)
        )
        study_config = replace(
            study_config, starts=tuple(e.config for e in elite(known, goal, room))
        )
    journal.begin(goal, study_config, fingerprint, inputs)
    return StudyRun(goal, study_config, known, journal, before is not None)
