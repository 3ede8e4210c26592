"""A search as `samstar tune` and `samstar demo` run it, with bars and remarks on the terminal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_samstar.cli.console import Tracker, say, tracked
from napari_samstar.cli.inputs import say_model, say_notes

if TYPE_CHECKING:
    from napari_samstar.api.study import Study
    from napari_samstar.core.image.loaded import LoadedImage
    from napari_samstar.core.models.registry import ModelChoice
    from napari_samstar.core.results.result import Result
    from napari_samstar.core.rewards.goal import Goal
    from napari_samstar.core.tuning.config import StudyConfig
    from napari_samstar.core.tuning.evaluator import EvaluatorSet
    from napari_samstar.core.tuning.inputs import SearchInputs
    from napari_samstar.core.tuning.study import StudyRun


def run_study(
    image: LoadedImage,
    choice: ModelChoice,
    goal: Goal,
    study_config: StudyConfig,
    inputs: SearchInputs,
    folder: Path,
    *,
    resume: bool = False,
    report: bool = False,
    **how: Any,
) -> tuple[Study, tuple[Result, ...], list[str]]:
    """Search, segment every image with the picked trial, and write all files into `folder`.

    Parameters
    ----------
    **how
        See `pipeline.iter_tune`.

    Returns
    -------
    study : Study
    results : tuple of Result
        One for each image, the first one's first.
    files : list of str
        Names of the files.
    """
    from napari_samstar.api.pipeline import iter_load_model, iter_tune
    from napari_samstar.api.study import iter_results, iter_write
    from napari_samstar.core.amg.bank import ProposalBank
    from napari_samstar.core.models.encoder import default_cache

    micrograph = image.prepare()  # first, because it is quick and may fail
    cache = default_cache()
    with tracked() as tracker:
        model = tracker.run(iter_load_model(choice))
        say_model(model)
        bank = ProposalBank(micrograph, model, cache)
        watch = _Watch(tracker, resume)
        steps = iter_tune(bank, goal, study_config, inputs, cache, resume=resume, **how)
        try:
            study = tracker.run(steps, watch.step)
        except KeyboardInterrupt:
            watch.say_what_is_kept()
            raise
        done, total = len(study.trials), study.summary.study_config.trials
        if done < total:
            say(f"The time is up after {done} of {total} settings; --continue goes on.")
        results = tracker.run(iter_results(study.picked))
        files = tracker.run(iter_write(study, results, folder, report=report))
    for remark in study.diagnosis:
        say(f"{remark.seen} {remark.step}")
    return study, results, files


class _Watch:
    """Shows on the terminal what a search yields."""

    def __init__(self, tracker: Tracker, resume: bool) -> None:
        self._tracker = tracker
        self._resume = resume
        self._evaluators: EvaluatorSet | None = None
        self._run: StudyRun | None = None
        self._advance: Callable[[], None] | None = None
        self._found = 0

    def step(self, step: Any) -> None:
        """Take one step that is not `Progress`."""
        from napari_samstar.core.tuning.evaluator import EvaluatorSet
        from napari_samstar.core.tuning.storage import Notice
        from napari_samstar.core.tuning.study import StudyRun

        if isinstance(step, Notice):
            say(step.text)
        elif isinstance(step, EvaluatorSet):
            self._evaluators = step
            for evaluator in step.all:
                say_notes(evaluator.bank.image)
        elif isinstance(step, StudyRun):
            self._start(step)
        else:
            self._count(len(step))

    def say_what_is_kept(self) -> None:
        """Say, after Ctrl-C, how many settings are stored and how to go on."""
        run = self._run
        if run is None or run.journal is None or run.journal.problem is not None or not self._found:
            return
        total = run.study_config.trials
        say(f"{self._found} of {total} settings are kept: the same command with --continue "
            "goes on from there.")  # fmt: skip

    def _start(self, run: StudyRun) -> None:
        self._run = run
        if self._resume:
            say(_about_resuming(run))
        self._say_cost(run.study_config)
        self._advance = self._tracker.count("Tuning", run.study_config.trials)

    def _count(self, trials: int) -> None:
        assert self._run is not None
        total = self._run.study_config.trials
        if self._found >= total:  # the search is done: these are of the random search
            self._advance, self._found = self._tracker.count("Random search", total), 0
        assert self._advance is not None
        self._found += trials
        for _ in range(trials):
            self._advance()

    def _say_cost(self, study_config: StudyConfig) -> None:
        """Say how long SAM will run at most, once its pace is known from the first prompts."""
        from napari_samstar.core.prompts.base import ImpossibleConfig
        from napari_samstar.core.tuning.cost import seconds_to_decode

        if study_config.scope == "filters" or self._evaluators is None:
            return
        seconds = 0.0
        for evaluator in self._evaluators.tuned:
            try:
                self._tracker.run(evaluator.bank.prepare(study_config.base))
            except ImpossibleConfig:
                return
            seconds += seconds_to_decode(evaluator.bank, study_config) or 0.0
        if study_config.scope == "wide":  # a budget for all images together
            seconds = min(seconds, study_config.seconds)
        say(f"Decoding all candidates in this scope takes {seconds / 60:.1f} minutes at most.")


def _about_resuming(run: StudyRun) -> str:
    n = len(run.known)
    if run.resumed:
        return f"Going on with an earlier run: {n} settings are known."
    if n:
        return f"Another goal or plan than before: starting from the best of {n} known settings."
    return "There is no earlier run on these images with this model: starting one."
